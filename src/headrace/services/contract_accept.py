"""`contract accept`: add a vendor's new column names to the contract, ingest held deliveries.

The names hold from the first interval in which they arrived. The contract is written and applied
first.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec

from headrace.checks.facts import DriftKind, FactSeverity
from headrace.model import HeadraceError, ProjectError, Refused, Source, UsageError
from headrace.model.contracts import SUFFIX
from headrace.model.files import sha256_of
from headrace.model.partitions import command_line, partition_argument, range_of
from headrace.plan import Compiled, changes
from headrace.plan.backfills import Mode
from headrace.runtime import apply_plans
from headrace.runtime.applied_versions import contents_of, manifest_of
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services import agreements, invalidation
from headrace.services.agreements import PlanChanged, ValuesDiffer, agreed_id, changed, identified
from headrace.services.backfill_planning import BackfillArguments, plan
from headrace.services.commands import CommandContext, leader_command, perform
from headrace.services.contract_inference import FOLDER, contract_text, pinned_of, source_of
from headrace.services.incidents import ID, found_in, number_of
from headrace.services.parameters import Argument, Option, Reason
from headrace.services.plan_inputs import count_partitions
from headrace.services.renames import (
    Renamed,
    decided_renames,
    possible_renames,
    proposed_renames,
    undecided_renames,
    with_differences,
    with_names,
)
from headrace.services.responses import CountsRow, RefusedRow
from headrace.services.responses.repairs import AcceptResponse, MappingRow
from headrace.services.session import Progress, ProjectSession, Silent, usable
from headrace.store import Transaction
from headrace.store.queries import publications
from headrace.store.queries import quality as stored
from headrace.store.queries import quarantine as quarantined
from headrace.store.queries.quality import DriftRow, FactRow


class AcceptArguments(msgspec.Struct, frozen=True):
    """Arguments to the leader: the contract file already contains the accepted names.

    The leader applies it.
    """

    source: str
    first: str
    mappings: tuple[Renamed, ...]
    file: str
    files: dict[str, str] = {}
    """SHA-256 of all files that come into force with it, by path: only these were confirmed."""
    reason: str | None = None


class ValueDecision(msgspec.Struct, frozen=True):
    """A person's decision about values that changed.

    Either conversions (expressions over the delivery's columns), or to accept the values as they
    are.
    """

    convert: tuple[str, ...] = ()
    as_is: bool = False
    reason: str | None = None


UNDECIDED = ValueDecision()


class ContractUpdate(msgspec.Struct, frozen=True):
    """The contract change about to be written."""

    source: Source
    first: str
    mappings: tuple[MappingRow, ...]
    path: Path
    """Path of the contract, relative to the project."""
    before: str | None
    """The contract's current text; None if it doesn't exist."""
    after: str


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
    changes (`yes` applies them as well). Raise ValuesDiffer if the values changed and `decision`
    doesn't say what they mean.
    """
    agreements.checked_id(plan_id)
    update = prepared(session, target, pairs, decision)
    files = _files(session, update, progress)
    response = _shown(session, update, files, plan_id)
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
        done: AcceptResponse = perform(fresh, "contract_accept", arguments, progress)
        if done.refused is not None:
            raise _other(update, response, done.refused)
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


def _shown(
    session: ProjectSession, update: ContractUpdate, files: Mapping[str, str], asked: str | None
) -> AcceptResponse:
    """Return the change about to be written, with the plan's id.

    Raise PlanChanged if it isn't the plan `asked`.
    """
    response = identified(session, _response(session, update, "patch"), session.version, files)
    row = changed(session, response, asked, session.version, files)
    if row is not None:
        raise _other(update, msgspec.structs.replace(response, plan_id=asked), row)
    return response


def _other(update: ContractUpdate, response: AcceptResponse, row: RefusedRow) -> PlanChanged:
    refused = msgspec.structs.replace(response, state="refused", refused=row)
    return PlanChanged(
        response.plan_id or "",
        row,
        refused,
        command_line("contract", "accept", update.source.name, "--patch"),
    )


def prepared(
    session: ProjectSession,
    target: str,
    pairs: Sequence[str] = (),
    decision: ValueDecision = UNDECIDED,
) -> ContractUpdate:
    """Return what accepting would write.

    Raise Refused if nothing is proposed, a name is taken, or the contract belongs to another
    source.
    """
    source, key = source_of(session, _place(session, target))
    schema = pinned_of(session, source)
    assert session.store is not None
    with session.store.read() as tx:
        key, rows = _drifted(tx, source, key)
        known = proposed_renames(tx, source.name, rows)
        if pairs:
            named = _named(pairs, rows, known, schema.names)
            mappings = with_differences(tx, source.name, rows, named)
        else:
            mappings = known or _nothing_proposed(source, key, rows)
        mappings = decided_renames(mappings, decision.convert, as_is=decision.as_is)
        first = _first(tx, source.name, key, mappings)
        renames = tuple(_renamed(tx, source.name, first, mapping) for mapping in mappings)
    project = session.project()
    contract = project.contracts.get(source.contract or source.name)
    path = (
        Path(contract.place.file)
        if contract is not None
        else Path(FOLDER, f"{source.name}{SUFFIX}")
    )
    before = _read(session.root / path) if contract is not None else None
    text = before if before is not None else contract_text(source.name, schema, {}, 0)
    table = contract.name if contract is not None else source.name
    after = with_names(text, table, renames, first)
    return ContractUpdate(source, first, tuple(mappings), path, before, after)


def _place(session: ProjectSession, target: str) -> str:
    """Return `SOURCE@K` as given, or the place of an incident's cause."""
    if not ID.fullmatch(target) or session.store is None:
        return target
    with session.store.read() as tx:
        incident = found_in(tx, number_of(target))
    return f"{incident.node}@{incident.partition}" if incident.partition else incident.node


def _drifted(tx: Transaction, source: Source, key: str | None) -> tuple[str, list[DriftRow]]:
    """Return the partition to accept renames for, and the drift of its newest delivery.

    Without a key, it is the source's first held partition with drift.
    """
    if key is None:
        held = [
            item.partition
            for item in quarantined.waiting(tx, node=source.name)
            if stored.newest_drift(tx, source.name, item.partition)
        ]
        if not held:
            raise Refused(
                f"no delivery of {source.name} is held because its columns changed",
                hint="headrace quarantine",
            )
        key = held[0]
    return key, stored.newest_drift(tx, source.name, key)


def _renamed(tx: Transaction, source: str, first: str, row: MappingRow) -> Renamed:
    """Return a rename as it is written; a new name ends an old name's conversion by itself."""
    until = _agreed_again(tx, source, first, row.column) if row.to == row.column else None
    return Renamed(row.column, row.to, row.convert, until)


def _agreed_again(tx: Transaction, source: str, first: str, column: str) -> str | None:
    """Return the next published interval after `first`; None if it isn't in the agreed unit.

    It is in that unit if it lacks the difference found in `first`, and if no differing delivery of
    `first` was published before it. Otherwise the history for its comparison differs as well, and
    the absence of a finding proves nothing.
    """
    following = publications.next_with_rows(tx, source, first)
    published = publications.current(tx, source, following) if following is not None else None
    if following is None or published is None:
        return None
    differing = [row for row in stored.facts_of(tx, source, first) if _difference(row, column)]
    if {row.delivery_id for row in differing} & publications.deliveries_before(
        tx, source, first, published.id
    ):
        return None
    differences = {_difference(row, column) for row in differing}
    later = [
        row
        for row in stored.facts_of(tx, source, following)
        if row.delivery_id == published.delivery_id
    ]
    is_alike = any(_difference(row, column) in differences for row in later)
    return following if differences and not is_alike else None


def _difference(fact: FactRow, column: str) -> str:
    """Return what a fact says about a column: the anomaly's kind, or the failing blocking check.

    A check names no column. Empty if the fact is about something else.
    """
    if fact.column == column:
        return fact.kind
    return (
        fact.detail
        if fact.severity == FactSeverity.HOLD and fact.detail.startswith("check ")
        else ""
    )


def _command(target: str, pairs: Sequence[str]) -> str:
    named = [word for pair in pairs for word in ("--map", pair)]
    return command_line("contract", "accept", target, *named)


def _nothing_proposed(source: Source, key: str, rows: Sequence[DriftRow]) -> NoReturn:
    name = partition_argument(source.name, key)
    gone = next((row.column for row in rows if row.kind == DriftKind.DROPPED), None)
    if gone is not None:
        raise Refused(
            f"no rename is proposed for {name}: nothing new is like {gone[:80]!r}",
            hint=(
                "name the pair:"
                f" {command_line('contract', 'accept', name, '--map', f'{gone[:80]}=NEW NAME')}"
            ),
        )
    raise Refused(
        f"no rename is proposed for {name}",
        hint=f"{command_line('quarantine', name)} says what is the matter with it",
    )


def _named(
    pairs: Sequence[str],
    rows: Sequence[DriftRow],
    proposals: Sequence[MappingRow],
    pinned: Sequence[str],
) -> list[MappingRow]:
    """Return a person's pairs, completed by the proposals for other columns.

    A column may be paired with its own name to decide what its values mean.
    """
    mapping_rows: dict[str, MappingRow] = {}
    for pair in pairs:
        column, sign, name = pair.partition("=")
        if not sign or not column or not name:
            raise UsageError(f"{pair[:80]!r} names no pair", hint="--map COLUMN=NEW_NAME")
        mapping_rows[column] = MappingRow(
            column=column, to=name, evidence=["named by hand"], used_by=[]
        )
    if rows:
        _require_pairs([row for row in mapping_rows.values() if row.column != row.to], rows)
    for mapping_row in mapping_rows.values():
        if mapping_row.column == mapping_row.to and mapping_row.column not in pinned:
            raise Refused(
                f"the source has no column {mapping_row.column[:80]!r}",
                hint="headrace contract show SOURCE",
            )
    known = {proposal.column: proposal for proposal in proposals}
    taken = {row.to for row in mapping_rows.values()}
    if len(taken) < len(mapping_rows):
        raise UsageError(
            "one name is given to two columns", hint="--map COLUMN=NEW_NAME, each once"
        )
    used = {row.column: msgspec.json.decode(row.used_by, type=list[str]) for row in rows}
    said = [
        msgspec.structs.replace(row, used_by=used.get(row.column, []))
        for row in mapping_rows.values()
    ]
    return [
        *said,
        *(row for name, row in known.items() if name not in mapping_rows and row.to not in taken),
    ]


def _require_pairs(mapping_rows: Iterable[MappingRow], rows: Sequence[DriftRow]) -> None:
    """Require that each pair's column is missing from the delivery, and that its name is new there.

    Otherwise a mistyped pair would hold the next ingestion again.
    """
    gone = {row.column for row in rows if row.kind in (DriftKind.DROPPED, DriftKind.RENAMED)}
    came = {row.column for row in rows if row.kind == DriftKind.ADDED} | {
        row.to for row in rows if row.kind == DriftKind.RENAMED
    }
    at = partition_argument(rows[0].source, rows[0].partition)
    for mapping_row in mapping_rows:
        if mapping_row.column not in gone:
            raise Refused(
                f"the delivery of {at} doesn't lack {mapping_row.column[:80]!r}",
                hint=f"{command_line('contract', 'diff', at)} says what it lacks",
            )
        if mapping_row.to not in came:
            raise Refused(
                f"the delivery of {at} has no new column {mapping_row.to[:80]!r}",
                hint=f"{command_line('contract', 'diff', at)} says what is new",
            )


def _first(tx: Transaction, source: str, key: str, mappings: Sequence[MappingRow]) -> str:
    """Return the first held interval, up to this one, that arrived with the same names."""
    wanted = {(mapping.column, mapping.to) for mapping in mappings}
    first = key
    for item in quarantined.waiting(tx, node=source):
        rows = stored.newest_drift(tx, source, item.partition)
        if item.partition < first and wanted <= possible_renames(rows):
            first = item.partition
    return first


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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} can't be read: {error}", hint="look at the file") from error


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


@leader_command("contract_accept", AcceptArguments, AcceptResponse)
def _accept(
    context: CommandContext, arguments: AcceptArguments, progress: Progress
) -> AcceptResponse:
    before = context.applied()
    if before is None:
        raise Refused("nothing is applied yet", hint="headrace tick")
    files, compilation = context.session.declared_exactly(progress)
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
    now_applied = context.apply(progress) if changes(before.compiled, compiled) else before
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
        backfills=invalidation.needed_rows(before.compiled.project, effect, context.session.env),
        counts=counts,
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
    told: dict[str, object] = {
        "from": arguments.first,
        "names": {mapping.column: mapping.to for mapping in arguments.mappings},
        "file": arguments.file,
    }
    conversions = {
        mapping.column: mapping.convert for mapping in arguments.mappings if mapping.convert
    }
    told |= {"convert": conversions} if conversions else {}
    append(
        tx,
        now,
        AuditEvent(
            action=Action.CONTRACT_ACCEPTED,
            actor=context.actor,
            object=Object("source", arguments.source),
            reason=arguments.reason or "",
            after=told,
        ),
    )


# The same for programs, which can't be asked for confirmation.

Pairs = Annotated[Sequence[str], Option("--map", metavar="COLUMN=NAME", key="map")]


def preview_names(
    session: ProjectSession,
    node: Annotated[str, Argument("SOURCE[@K]|INC-N")],
    *,
    pairs: Pairs = (),
    convert: Sequence[str] = (),
    as_is: bool = False,
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


def accept_names(
    session: ProjectSession,
    node: Annotated[str, Argument("SOURCE[@K]|INC-N")],
    *,
    pairs: Pairs = (),
    agreed: str | None = None,
    convert: Sequence[str] = (),
    as_is: bool = False,
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
