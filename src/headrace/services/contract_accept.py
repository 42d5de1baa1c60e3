"""`contract accept`: add a vendor's new column names to the contract, ingest held deliveries.

The names hold from the first interval in which they arrived. The contract is written and applied
first.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.access import agreements
from headrace.access.agreements import (
    NEEDS_APPROVAL,
    NeedsApproval,
    PlanChanged,
    ValuesDiffer,
    agreed_id,
    changed,
    identified,
)
from headrace.access.consequences import of_act
from headrace.access.permissions import CHANGE, READ, command
from headrace.acts import approval_requests
from headrace.acts.approval_requests import Asked
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model import HeadraceError, ProjectError, Refused, UsageError
from headrace.model.files import sha256_of
from headrace.model.partitions import command_line, range_of
from headrace.plan import Compiled, changes
from headrace.plan.backfills import Mode
from headrace.plan.project_plan import plan_id_of
from headrace.project.parameters import (
    AgreedNames,
    Argument,
    AsIs,
    Conversions,
    Pairs,
    Reason,
)
from headrace.project.session import Progress, ProjectSession, Silent, usable
from headrace.repairs import invalidation
from headrace.repairs.backfill_planning import BackfillArguments, plan
from headrace.repairs.contract_updates import (
    UNDECIDED,
    ContractUpdate,
    ValueDecision,
    prepared,
)
from headrace.repairs.plan_inputs import count_partitions
from headrace.repairs.renames import (
    Renamed,
    undecided_renames,
)
from headrace.responses import CountsRow, RefusedRow
from headrace.responses.repairs import AcceptResponse
from headrace.runtime import apply_plans
from headrace.runtime.applied_versions import contents_of, manifest_of
from headrace.runtime.approval_states import CONTRACT
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services.act_approvals import approval_of
from headrace.store import Transaction
from headrace.store.queries import quality as stored


class AcceptArguments(msgspec.Struct, frozen=True):
    """Arguments to the leader: the contract file already contains the accepted names.

    The leader applies it.
    """

    source: str
    first: str
    mappings: tuple[Renamed, ...]
    file: str
    files: dict[str, str] = {}
    """SHA-256 of all files that are applied with it, by path: only these were confirmed."""
    reason: str | None = None


@command("contract accept", CHANGE, of="target")
def accept(
    session: ProjectSession,
    target: str,
    *,
    pairs: Sequence[str],
    patch: bool,
    yes: bool,
    progress: Progress,
    plan_id: str | None = None,
    decision: ValueDecision = UNDECIDED,
) -> AcceptResponse:
    """Write the proposed renames of a held delivery into its source's contract, and apply it.

    `target` is the delivery's `SOURCE@K` or its incident; `pairs` (`COLUMN=NAME`) replace the
    proposal. With `patch` nothing is written: the response has the diff.

    Raise Refused if nothing is proposed, if a name is taken, or if the files hold other unapplied
    changes (`yes` applies them as well). Raise NeedsApproval if policy requires an
    approval, and ValuesDiffer if the values changed and `decision` doesn't say what they mean.
    """
    agreements.checked_id(plan_id)
    update = prepared(session, target, pairs, decision)
    files = _files(session, update, progress)
    response = _preview(session, update, files, plan_id)
    refused = undecided_renames(update.mappings, _command(target, pairs), response.plan_id)
    if patch:
        return msgspec.structs.replace(response, refused=refused)
    if refused is not None:
        raise ValuesDiffer(
            refused, msgspec.structs.replace(response, state="refused", refused=refused)
        )
    if not yes:
        _nothing_else(session, progress)
    path = session.root / update.path
    _write(path, update.after)
    fresh = session.again(session.actor)
    try:
        renamed = tuple(
            Renamed(mapping.column, mapping.to, mapping.convert) for mapping in update.mappings
        )
        arguments = AcceptArguments(
            update.source.name, update.first, renamed, str(update.path), files, decision.reason
        )
        done: AcceptResponse = _accept.perform(fresh, progress, arguments)
        if done.refused is not None:
            raise _refusal(update, response, done.refused)
    except HeadraceError:
        _restore(path, update.before)
        raise
    finally:
        fresh.close()
    return msgspec.structs.replace(
        done,
        mappings=list(update.mappings),
        diff=_diff(update),
        made=update.before is None,
        plan_id=response.plan_id,
    )


def _files(session: ProjectSession, update: ContractUpdate, progress: Progress) -> dict[str, str]:
    """Return the SHA-256 of the files that would be in force, by path.

    If the other files have errors, only the contract's.
    """
    after = {update.path.as_posix(): sha256_of(update.after.encode())}
    fresh = session.again(session.actor)
    try:
        files, compilation = fresh.declared_exactly(progress)
        return (
            after
            if compilation.compiled is None
            else {**manifest_of(contents_of(files, compilation.compiled)), **after}
        )
    finally:
        fresh.close()


def _preview(
    session: ProjectSession, update: ContractUpdate, files: Mapping[str, str], plan_id: str | None
) -> AcceptResponse:
    """Return the change about to be written, with the plan's id.

    Raise PlanChanged if it isn't the plan `plan_id`.
    """
    response = identified(session, _response(session, update, "patch"), session.version, files)
    row = changed(session, response, plan_id, session.version, files)
    if row is not None:
        raise _other(update, msgspec.structs.replace(response, plan_id=plan_id), row)
    return response


def _other(update: ContractUpdate, response: AcceptResponse, row: RefusedRow) -> PlanChanged:
    refused = msgspec.structs.replace(response, state="refused", refused=row)
    return PlanChanged(
        response.plan_id or "",
        row,
        refused,
        command_line("contract", "accept", update.source.name, "--patch"),
    )


def _refusal(
    update: ContractUpdate, response: AcceptResponse, row: RefusedRow
) -> PlanChanged | NeedsApproval:
    """Return the error for names that the leader didn't accept."""
    if row.code != NEEDS_APPROVAL:
        return _other(update, response, row)
    refused = msgspec.structs.replace(response, state="refused", refused=row)
    return NeedsApproval(row, refused, "; ".join(row.changed))


def _command(target: str, pairs: Sequence[str]) -> str:
    named = [word for pair in pairs for word in ("--map", pair)]
    return command_line("contract", "accept", target, *named)


def _nothing_else(session: ProjectSession, progress: Progress) -> None:
    fresh = session.again(session.actor)
    try:
        differs = changes(session.compiled, usable(fresh.declared(progress)))
    finally:
        fresh.close()
    if differs:
        raise Refused(
            f"the files hold other changes that aren't applied ({differs[0].node})",
            hint=(
                "headrace plan, headrace apply, then accept; or accept with --yes, which applies"
                " them too"
            ),
        )


def _write(path: Path, text: str) -> None:
    """Write a file atomically."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ProjectError(
            f"{path} can't be written: {error.strerror}",
            hint="look at the permissions; --patch writes nothing",
        ) from error


def _restore(path: Path, before: str | None) -> None:
    if before is None:
        path.unlink(missing_ok=True)
    else:
        _write(path, before)


def _diff(update: ContractUpdate) -> str:
    name = update.path.as_posix()
    before, after = (
        (update.before or "").splitlines(keepends=True),
        update.after.splitlines(keepends=True),
    )
    return "".join(
        difflib.unified_diff(
            before,
            after,
            f"a/{name}" if update.before is not None else "/dev/null",
            f"b/{name}",
            n=2,
        )
    )


def _response(session: ProjectSession, update: ContractUpdate, state: str) -> AcceptResponse:
    return AcceptResponse(
        now=session.now(),
        clock=session.clock.kind,
        source=update.source.name,
        partition=update.first,
        state=state,
        file=update.path.as_posix(),
        made=update.before is None,
        mappings=list(update.mappings),
        diff=_diff(update),
        version=session.version,
        reread=[],
        stale=[],
        backfills=[],
    )


@leader_command("contract_accept", AcceptResponse)
def _accept(context: CommandContext, arguments: AcceptArguments) -> AcceptResponse:
    before = context.applied()
    if before is None:
        raise Refused("nothing is applied yet", hint="headrace tick")
    files, compilation = context.session.declared_exactly(context.progress)
    compiled = usable(compilation)
    manifest = manifest_of(contents_of(files, compiled))
    if arguments.files and manifest != arguments.files:
        return _refused(context, arguments, manifest)
    with context.store.read() as tx:
        keys = apply_plans.remapped_partitions(tx, before.compiled.project, compiled.project).get(
            arguments.source, []
        )
        effect = invalidation.invalidated_downstream(
            tx, before.compiled, arguments.source, keys, version=before.id
        )
    asked = _asked(context, before.compiled, arguments, before.id, keys)
    refused = None if asked is None else approval_requests.refusal(context, asked)
    if refused is not None:
        return _not_accepted(context, arguments, refused)
    now_applied = context.apply() if changes(before.compiled, compiled) else before
    if asked is not None:
        approval_requests.use(context, asked.plan_id)
    context.tell(write=lambda tx, now: _recorded(tx, now, context, arguments, keys))
    counts = (
        None
        if effect.stale
        else _follows(context, compiled, now_applied.id, arguments.source, keys)
    )
    return AcceptResponse(
        now=context.now(),
        clock=context.clock.kind,
        source=arguments.source,
        partition=arguments.first,
        state="accepted",
        file=arguments.file,
        mappings=[],
        diff="",
        version=now_applied.id,
        reread=keys,
        stale=invalidation.stale_rows(effect.stale),
        backfills=invalidation.needed_rows(before.compiled.project, effect),
        counts=counts,
    )


def _asked(
    context: CommandContext,
    compiled: Compiled,
    arguments: AcceptArguments,
    version: int,
    keys: Sequence[str],
) -> Asked | None:
    """Return the approval that accepting the names needs; None if no rule asks for one.

    `keys` are the partitions that are ingested with the new names.
    """
    session = context.session
    consequence = of_act(
        compiled,
        [arguments.source],
        partitions=len(keys),
        rows=0,
        cache=session.data_folder / "cache",
    )
    approval = approval_of(session, consequence)
    if approval is None:
        return None
    steps = [
        {"kind": "map", "node": item.column, "to": item.to, "convert": item.convert}
        for item in arguments.mappings
    ]
    begins = {"kind": "remap", "node": arguments.source, "from": arguments.first}
    plan_id = plan_id_of(
        {
            "environment": session.env,
            "base_version": version,
            "files": arguments.files,
            "steps": [begins, *steps],
        }
    )
    return Asked(
        kind=CONTRACT,
        plan_id=plan_id,
        approval=approval,
        command=command_line("contract", "accept", arguments.source),
        reason=arguments.reason or "",
        spans=tuple((arguments.source, key, key) for key in keys),
    )


def _follows(
    context: CommandContext, compiled: Compiled, version: int, source: str, keys: Sequence[str]
) -> CountsRow | None:
    """Return the number of partitions to re-ingest and to compute, as `fix` plans them."""
    if not keys:
        return None
    arguments = BackfillArguments([f"{source}+"], [], *range_of(keys), None, Mode.MISSING.value, "")
    try:
        backfill = plan(
            context.session,
            context.store,
            compiled,
            version,
            arguments,
            now=context.now(),
            reread={source: keys},
        )
    except UsageError:  # the node's partitioning has no range that can be named
        return None
    return count_partitions(
        compiled.project, ((item.node, item.partitions) for item in backfill.backfill.chosen)
    )


def _refused(
    context: CommandContext, arguments: AcceptArguments, now: Mapping[str, str]
) -> AcceptResponse:
    """Return the refusal: files were saved after the confirmation."""
    names = sorted(
        path for path in {*now, *arguments.files} if now.get(path) != arguments.files.get(path)
    )
    row = RefusedRow(code=agreements.PLAN_CHANGED, plan_id_now="", files=names, changed=[])
    return _not_accepted(context, arguments, row)


def _not_accepted(
    context: CommandContext, arguments: AcceptArguments, row: RefusedRow
) -> AcceptResponse:
    return AcceptResponse(
        now=context.now(),
        clock=context.clock.kind,
        source=arguments.source,
        partition=arguments.first,
        state="refused",
        file=arguments.file,
        mappings=[],
        diff="",
        reread=[],
        stale=[],
        backfills=[],
        refused=row,
    )


def _recorded(
    tx: Transaction,
    now: int,
    context: CommandContext,
    arguments: AcceptArguments,
    keys: Sequence[str],
) -> None:
    """Record the accepted renames, with the actor, in the state and in the audit trail."""
    columns = [mapping.column for mapping in arguments.mappings]
    stored.accept_renames(tx, arguments.source, keys, columns, by=context.actor.id, now=now)
    details: dict[str, object] = {
        "from": arguments.first,
        "names": {mapping.column: mapping.to for mapping in arguments.mappings},
        "file": arguments.file,
    }
    conversions = {
        mapping.column: mapping.convert for mapping in arguments.mappings if mapping.convert
    }
    details |= {"convert": conversions} if conversions else {}
    append(
        tx,
        now,
        AuditEvent(
            action=Action.CONTRACT_ACCEPTED,
            actor=context.actor,
            object=Object("source", arguments.source),
            reason=arguments.reason or "",
            after=details,
        ),
    )


# The same for programs, which can't be asked for confirmation.


@command(
    "contract accept preview",
    READ,
    of="node",
    http="GET /contract/{node}/names accepted_names",
    of_files=True,
    session="preview_names",
)
def preview_names(
    session: ProjectSession,
    node: Annotated[str, Argument("SOURCE[@K]|INC-N", help="whose delivery is held")],
    *,
    pairs: Pairs = (),
    convert: Conversions = (),
    as_is: AsIs = False,
) -> AcceptResponse:
    """Return what accepting a vendor's new names would write. Raise as `accept` does."""
    return accept(
        session,
        node,
        pairs=pairs,
        patch=True,
        yes=False,
        progress=Silent(),
        decision=ValueDecision(tuple(convert), as_is),
    )


@command(
    "contract accept",
    CHANGE,
    of="node",
    http="POST /contract/{node}/names do_accept_names",
    session="accept_names",
)
def accept_names(
    session: ProjectSession,
    node: Annotated[str, Argument("SOURCE[@K]|INC-N", help="whose delivery is held")],
    *,
    pairs: Pairs = (),
    agreed: AgreedNames = None,
    convert: Conversions = (),
    as_is: AsIs = False,
    reason: Reason = None,
    progress: Progress,
) -> AcceptResponse:
    """Accept the names that a vendor uses now.

    `pairs` take precedence over the proposed ones. `agreed` is the id of a plan of `preview_names`
    with the same options: only that plan is run. Raise as `accept` does.
    """
    return accept(
        session,
        node,
        pairs=pairs,
        patch=False,
        yes=False,
        progress=progress,
        plan_id=agreed_id(agreed),
        decision=ValueDecision(tuple(convert), as_is, reason),
    )
