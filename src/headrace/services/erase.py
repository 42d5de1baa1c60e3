"""`erase`: erase the rows of one subject, wherever Headrace has put them, with a certificate.

The subject is recorded by keyed hashes only. Each step can be repeated: if the command is ended,
the same command continues.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

import headrace
from headrace.compiler.lineage import compile_lineage
from headrace.faults import FaultPoint, reached
from headrace.lake.catalog import FileMoved
from headrace.lake.erased_files import ErasedFile
from headrace.model import LakeError, Project, ProjectError, Refused, UsageError
from headrace.model.erased_rows import ErasedRows
from headrace.model.partitions import command_line
from headrace.plan.compiled import Compiled, is_view
from headrace.plan.project_plan import plan_id_of
from headrace.runtime import erasures, event_log
from headrace.security import erasures as ledger
from headrace.security.audit import Action, AuditEvent, Object, append, rfc3339
from headrace.services import backups, commands, erase_places, erase_subject
from headrace.services.agreements import PLAN_CHANGED, PlanChanged, checked_id
from headrace.services.command_context import CommandContext
from headrace.services.commands import leader_command, perform
from headrace.services.erase_places import Keys
from headrace.services.parameters import Agreed, Argument, Option, Reason, RequiredReason
from headrace.services.permissions import authorised
from headrace.services.responses import RefusedRow
from headrace.services.responses.erasures import (
    ErasedPlaceRow,
    EraseResponse,
    ErasureStepResponse,
)
from headrace.services.session import Progress, ProjectSession
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.queries import erasures as stored

ERASED, KEPT = "erased", "kept"
TRIES = 5
"""Maximum number of times that a table is searched again, because it was published meanwhile."""
FOLDER = "erasures"
STARTED_OVER = ("merge", "snapshot")
"""Materialisations whose publications don't count the rows of one partition."""

Confirm = Callable[[EraseResponse], bool]

Subject = Annotated[
    str, Argument("SUBJECT", help="a name for the request, or the source or asset of the keys")
]
Where = Annotated[
    str, Option("--where", metavar="KEYS", help='the subject\'s keys: "id = 42"; see the docs')
]
FromNode = Annotated[
    str | None,
    Option("--from", metavar="NODE", help="the source or asset that the keys are of", key="from"),
]


class _Plan(msgspec.Struct, frozen=True):
    """What an erasure would do: its places, and what each step needs."""

    subject: str
    keys: Keys
    values: tuple[str, ...]
    places: list[ErasedPlaceRow]
    nodes: tuple[str, ...]
    """The nodes with the keys, in project order."""
    sources: tuple[str, ...]


@authorised
def erase(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    subject: Subject,
    *,
    where: Where,
    from_node: FromNode,
    dry_run: bool,
    plan_id: Agreed,
    reason: Reason,
    confirm: Confirm,
    progress: Progress,
) -> EraseResponse:
    """Erase the rows of one subject in all tables, earlier versions and copies of deliveries.

    With `dry_run` it only lists the places. Raise UsageError for keys that can't be understood,
    Refused under a legal hold, PlanChanged if the plan differs from `plan_id`, and LakeError for
    files that can't be searched.
    """
    checked_id(plan_id)
    condition = erase_subject.parsed(where)
    if session.store is None or session.compiled is None:
        raise ProjectError("nothing is applied yet, so nothing is kept", hint="headrace apply")
    text = (reason or "").strip()
    if not dry_run:
        text = commands.required_reason(
            reason, "erase", "the certificate names it; write no personal value in it"
        )
    plan = _planned(session, session.compiled, subject, condition, from_node)
    response = _response(session, plan)
    if plan_id is not None and plan_id != response.plan_id:
        row = RefusedRow(
            code=PLAN_CHANGED,
            plan_id_now=response.plan_id,
            files=[],
            changed=["the places with rows of the subject aren't those that were planned"],
        )
        raise PlanChanged(plan_id, row, response, "headrace erase … --dry-run")
    _refuse_held(session, plan.nodes)
    if dry_run:
        return response
    if plan_id is None and not confirm(response):
        return msgspec.structs.replace(response, state="declined")
    return _erased(session, plan, response, text, progress)


@authorised
def preview_erase(
    session: ProjectSession,
    subject: Subject,
    *,
    where: Where,
    from_node: FromNode = None,
    progress: Progress,
) -> EraseResponse:
    """Return the plan of an erasure, as `erase --dry-run` does. Raise as `erase` does."""
    return erase(
        session,
        subject,
        where=where,
        from_node=from_node,
        dry_run=True,
        plan_id=None,
        reason=None,
        confirm=lambda _: False,
        progress=progress,
    )


@authorised
def run_erase(
    session: ProjectSession,
    subject: Subject,
    *,
    where: Where,
    from_node: FromNode = None,
    plan_id: Agreed = None,
    reason: RequiredReason,
    progress: Progress,
) -> EraseResponse:
    """Erase the rows of one subject, as planned by `preview_erase` if its `plan_id` is given.

    Raise as `erase` does.
    """
    return erase(
        session,
        subject,
        where=where,
        from_node=from_node,
        dry_run=False,
        plan_id=plan_id,
        reason=reason,
        confirm=lambda _: True,
        progress=progress,
    )


def _refuse_held(session: ProjectSession, nodes: Sequence[str]) -> None:
    assert session.store is not None
    with session.store.read() as tx:
        held = erasures.held(tx, nodes)
    if held:
        hold = held[0]
        name = "everything" if hold.node == "*" else hold.node
        raise Refused(
            f"{name} is under a legal hold of {hold.actor}: {hold.reason}",
            hint=command_line("hold", "release", "--all" if hold.node == "*" else hold.node)
            + " --reason TEXT ends it",
        )


# The plan: the nodes that the keys went to, and the places with rows.


def _planned(
    session: ProjectSession,
    compiled: Compiled,
    subject: str,
    condition: erase_subject.Condition,
    from_node: str | None,
) -> _Plan:
    assert session.store is not None
    project = compiled.project
    start = from_node or (subject if project.source_or_asset(subject) is not None else None)
    data = session.data_folder
    lineage = compile_lineage(compiled, data / "cache")
    values = tuple(value for keys in condition for key in keys for value in key.values)
    with session.store.read() as tx:
        nodes_of_subject = erase_subject.nodes_of(session, tx, compiled, lineage, condition, start)
        keys = Keys(nodes_of_subject.keys, ledger.hash_key(data))
        token = ledger.subject_token(data, msgspec.json.encode([start or "", condition]).decode())
        nodes = tuple(name for name in compiled.order if name in nodes_of_subject.keys)
        sources = tuple(name for name in nodes if name in project.sources)
        places = _places(session, tx, compiled, keys, nodes, nodes_of_subject.without, values)
    return _Plan(token, keys, values, places, nodes, sources)


def _places(
    session: ProjectSession,
    tx: Transaction,
    compiled: Compiled,
    keys: Keys,
    nodes: Sequence[str],
    without: dict[str, list[str]],
    values: Sequence[str],
) -> list[ErasedPlaceRow]:
    project, folders = compiled.project, session.folders
    results: list[ErasedPlaceRow] = []
    for node in nodes:
        results += _of_node(tx, session, compiled, node, keys)
    for node in nodes:
        source = project.sources.get(node)
        if source is not None:
            results += _of_copies(node, erase_places.copies(tx, folders, source, keys))
    for item in erase_places.quarantined(tx, folders, nodes, keys):
        why = (
            "held or rejected rows: their file is deleted, what waits is ingested or computed anew"
        )
        results.append(
            _place(item.node, "quarantine", item.rows, ERASED, why)
            if item.rows is not None
            else _place(item.node, "quarantine", None, KEPT, f"{item.path} can't be read")
        )
    logged = [*nodes, *without]
    for node, paths in erase_places.logs_with(tx, folders, logged, values).items():
        why = f"logs of {len(paths)} attempts: the key is overwritten"
        results.append(_place(node, "log", None, ERASED, why))
    results += _places_that_stay(session, compiled, nodes, without)
    return results


def _place(
    node: str,
    what: str,
    rows: int | None,
    action: str,
    why: str,
    partitions: Sequence[str] = (),
) -> ErasedPlaceRow:
    return ErasedPlaceRow(
        node=node, what=what, partitions=list(partitions), rows=rows, action=action, why=why
    )


def _of_node(
    tx: Transaction, session: ProjectSession, compiled: Compiled, node: str, keys: Keys
) -> list[ErasedPlaceRow]:
    asset = compiled.project.assets.get(node)
    if asset is not None and asset.materialize == "files":
        why = (
            "it publishes files, which Headrace doesn't read: compute it again from the erased"
            f" inputs: {command_line('run', node, '--again')} --reason TEXT"
        )
        return [_place(node, "files", None, KEPT, why)]
    searched = erase_places.table_files(tx, session.folders, node, keys, rewrite=False)
    if searched is None:
        return []
    results = []
    if searched.files or searched.loose:
        partitions = sorted({key for file in searched.files for key in file.visible})
        rows = sum(sum(file.visible.values()) for file in searched.files)
        files = len(searched.files) + len(searched.loose)
        why = f"published rows, in all snapshots; files that are replaced: {files}"
        results.append(_place(node, "rows", rows, ERASED, why, partitions))
    if searched.staged:
        why = "a backfill has staged them: let it end or cancel it, then erase again"
        results.append(_place(node, "staged", None, KEPT, why))
    return results


def _of_copies(node: str, copies: erase_places.Copies) -> list[ErasedPlaceRow]:
    results = []
    if copies.raw:
        why = f"stored bytes of deliveries; files that are deleted: {len(copies.raw)}"
        results.append(_place(node, "raw", copies.rows, ERASED, why))
    for path in copies.delivered:
        why = f"the delivered file {path} isn't Headrace's: delete it, or have it delivered anew"
        results.append(_place(node, "delivery", None, KEPT, why))
    for path in copies.unread:
        why = f"the stored delivery {path} can't be read, so nobody can tell: look at it"
        results.append(_place(node, "raw", None, KEPT, why))
    return results


def _places_that_stay(
    session: ProjectSession,
    compiled: Compiled,
    nodes: Sequence[str],
    without: dict[str, list[str]],
) -> list[ErasedPlaceRow]:
    results = []
    for node, columns in without.items():
        if is_view(compiled.project, node):
            continue
        names = " and ".join(columns)
        why = (
            f"its rows have no column that comes from {names} unchanged: whose they are can't be"
            " told apart. If they can, name the column: --where … or NODE.COLUMN = VALUE"
        )
        results.append(_place(node, "rows", None, KEPT, why))
    for consumer, read in erase_places.exported(compiled, nodes).items():
        why = (
            f"an export of {', '.join(read)} was handed over: tell its owner"
            f" {compiled.project.consumers[consumer].owner}"
        )
        results.append(_place(consumer, "export", None, KEPT, why))
    copies = backups.own_backups(session.root, session.settings)
    if copies:
        why = f"automatic backups of the state; deleted, and a new one is written: {len(copies)}"
        results.append(_place("*", "backup", None, ERASED, why))
    why = (
        "backups of `headrace db backup` and copies outside of the data folder: delete them. After"
        " `db restore`, the erasure is done again"
    )
    results.append(_place("*", "backup", None, KEPT, why))
    aside = sorted(
        path.name
        for path in session.data_folder.iterdir()
        if path.name.startswith(("before_", "state.db.", "state.db_"))
    )
    if aside:
        why = (
            f"{', '.join(aside[:5])} were moved aside by `db restore` or `db upgrade`: delete them"
        )
        results.append(_place("*", "state", None, KEPT, why))
    return results


def _response(session: ProjectSession, plan: _Plan) -> EraseResponse:
    steps: list[dict[str, Any]] = [
        {"kind": place.what, "node": place.node, "action": place.action, "rows": place.rows}
        for place in plan.places
    ]
    decided: dict[str, Any] = {
        "environment": session.env,
        "base_version": session.version,
        "files": {},
        "subject": plan.subject,
        "steps": steps,
    }
    return EraseResponse(
        now=session.now(),
        clock=session.clock.kind,
        subject=plan.subject,
        plan_id=plan_id_of(decided),
        state="planned",
        places=plan.places,
        certificate=None,
    )


# The erasure: each step is one transaction of the leader, and can be repeated.


class BeginArguments(msgspec.Struct, frozen=True):
    """A confirmed erasure."""

    subject: str
    plan_id: str
    reason: str
    keys: dict[str, tuple[ErasedRows, ...]]


class TableArguments(msgspec.Struct, frozen=True):
    """The rewritten files of a table, and files that no snapshot names."""

    erasure: int
    node: str
    files: tuple[ErasedFile, ...]
    seen: int
    loose: tuple[str, ...]
    counted: bool


class CopiesArguments(msgspec.Struct, frozen=True):
    """Files to delete, relative to the data folder, and quarantined data to forget."""

    erasure: int
    node: str
    what: str
    rows: int
    paths: tuple[str, ...]
    quarantined: tuple[int, ...] = ()


class CleanArguments(msgspec.Struct, frozen=True):
    """Overwrite values in the state's texts; the values are in a private file."""

    erasure: int
    values: str


class FinishArguments(msgspec.Struct, frozen=True):
    """The certificate, relative to the data folder, and its SHA-256."""

    erasure: int
    certificate: str
    sha256: str
    counts: dict[str, int]


def _erased(
    session: ProjectSession,
    plan: _Plan,
    response: EraseResponse,
    reason: str,
    progress: Progress,
) -> EraseResponse:
    assert session.compiled is not None
    keys = {node: tuple(rows) for node, rows in plan.keys.by_node.items()}
    entry = ledger.LedgerEntry(plan.subject, response.plan_id, session.actor, reason, keys)
    ledger.append_ledger(session.data_folder, entry)
    begin = BeginArguments(plan.subject, response.plan_id, reason, keys)
    step: ErasureStepResponse = perform(session, "erasure_begin", begin, progress)
    reached(FaultPoint.ERASURE_BEGUN)
    number = step.erasure
    _erase_everywhere(session, session.compiled.project, plan, number, progress)
    response = _with_earlier(session, response, number)
    certificate, digest = _certified(session, response, number)
    reached(FaultPoint.ERASURE_CERTIFIED)
    counts = {
        action: sum(place.action == action for place in response.places)
        for action in (ERASED, KEPT)
    }
    finish = FinishArguments(number, certificate, digest, counts)
    perform(session, "erasure_finish", finish, progress)
    return msgspec.structs.replace(
        response,
        now=session.now(),
        state="erased",
        erasure=number,
        certificate=str(session.data_folder / certificate),
    )


def _erase_everywhere(
    session: ProjectSession, project: Project, plan: _Plan, number: int, progress: Progress
) -> None:
    for node in plan.nodes:
        _erase_table(session, project, node, plan.keys, number, progress)
    _erase_copies(session, project, plan, number, progress)
    _erase_logs(session, plan)
    _clean(session, plan.values, number, progress)
    _renew_backups(session)
    _prove(session, plan)


def _with_earlier(session: ProjectSession, response: EraseResponse, number: int) -> EraseResponse:
    """Return the response with the rows that the same command erased before it was ended."""
    assert session.store is not None
    with session.store.read() as tx:
        erasure = stored.get(tx, number)
    assert erasure is not None
    done = {
        (place.node, place.what): place
        for node, counts in erasure.progress.items()
        for place in _done(node, counts, response.places)
    }
    planned = [
        place
        for place in response.places
        if place.action == KEPT or (place.node, place.what) not in done
    ]
    return msgspec.structs.replace(response, places=[*done.values(), *planned])


def _done(
    node: str, counts: dict[str, int], planned: Sequence[ErasedPlaceRow]
) -> Iterator[ErasedPlaceRow]:
    """Yield what was done to a node's table and to its stored deliveries."""
    if "rows" in counts:
        why = f"published rows, in all snapshots: {counts['files']} files were replaced"
        known = [place for place in planned if (place.node, place.what) == (node, "rows")]
        partitions = known[0].partitions if known else []
        yield _place(node, "rows", counts["rows"], ERASED, why, partitions)
    if "raw" in counts:
        why = f"stored bytes of deliveries: {counts['raw']} files deleted, their hashes kept"
        yield _place(node, "raw", counts["raw_rows"], ERASED, why)


def erase_again(session: ProjectSession, progress: Progress) -> list[str]:
    """Do the erasures of the ledger that the state doesn't know, after a restore; return subjects.

    The values aren't known any more, so texts of the state and logs aren't searched: they are those
    that the backup had. Under a legal hold an erasure waits in the ledger.
    """
    if session.store is None or session.compiled is None:
        return []
    with session.store.read() as tx:
        done = {item.subject for item in stored.every(tx, state=stored.DONE)}
    entries = {entry.subject: entry for entry in ledger.ledger(session.data_folder)}
    results = []
    for entry in entries.values():
        if entry.subject not in done:
            with suppress(Refused):
                _again(session, session.compiled, entry, progress)
                results.append(entry.subject)
    return results


def _again(
    session: ProjectSession, compiled: Compiled, entry: ledger.LedgerEntry, progress: Progress
) -> None:
    nodes = tuple(name for name in compiled.order if name in entry.keys)
    sources = tuple(name for name in nodes if name in compiled.project.sources)
    keys = Keys(entry.keys, ledger.hash_key(session.data_folder))
    plan = _Plan(entry.subject, keys, (), [], nodes, sources)
    begin = BeginArguments(entry.subject, entry.plan_id, entry.reason, dict(entry.keys))
    step: ErasureStepResponse = perform(session, "erasure_begin", begin, progress)
    _erase_everywhere(session, compiled.project, plan, step.erasure, progress)
    name = _certificate_name(entry.subject)
    path = session.data_folder / name
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    perform(session, "erasure_finish", FinishArguments(step.erasure, name, digest, {}), progress)


def _certificate_name(subject: str) -> str:
    return f"{FOLDER}/{subject}.json"


def _erase_table(
    session: ProjectSession,
    project: Project,
    node: str,
    keys: Keys,
    number: int,
    progress: Progress,
) -> None:
    asset = project.assets.get(node)
    counted = asset is None or asset.materialize not in STARTED_OVER
    assert session.store is not None
    for attempt in range(TRIES):
        with session.store.read() as tx:
            listed = erase_places.table_files(tx, session.folders, node, keys, rewrite=True)
        if listed is None or not (listed.files or listed.loose):
            return
        reached(FaultPoint.ERASURE_REWRITTEN)
        arguments = TableArguments(number, node, listed.files, listed.seen, listed.loose, counted)
        step: ErasureStepResponse = perform(session, "erasure_table", arguments, progress)
        if not step.outdated:
            return
        erasures.discard(session.folders, listed.files)
        if attempt == TRIES - 1:
            raise LakeError(
                f"{node} is published again and again while its files are rewritten",
                hint=f"{command_line('pause', node)} --reason TEXT, then erase again",
            )


def _erase_copies(
    session: ProjectSession, project: Project, plan: _Plan, number: int, progress: Progress
) -> None:
    assert session.store is not None
    data = session.data_folder
    for node in plan.sources:
        with session.store.read() as tx:
            copied = erase_places.copies(tx, session.folders, project.sources[node], plan.keys)
        if copied.raw:
            paths = tuple(str(Path(path).relative_to(data)) for path in copied.raw)
            arguments = CopiesArguments(number, node, "raw", copied.rows, paths)
            perform(session, "erasure_copies", arguments, progress)
    with session.store.read() as tx:
        held = erase_places.quarantined(tx, session.folders, plan.nodes, plan.keys)
    for item in held:
        if item.rows is not None:
            arguments = CopiesArguments(
                number, item.node, "quarantine", item.rows, (item.path,), (item.number,)
            )
            perform(session, "erasure_copies", arguments, progress)


def _erase_logs(session: ProjectSession, plan: _Plan) -> None:
    assert session.store is not None
    names = [place.node for place in plan.places if place.what in ("log", "rows")]
    with session.store.read() as tx:
        logged = erase_places.logs_with(
            tx, session.folders, sorted({*names, *plan.nodes}), plan.values
        )
    for paths in logged.values():
        for path in paths:
            erase_places.cleaned_log(path, plan.values)


def _clean(session: ProjectSession, values: Sequence[str], number: int, progress: Progress) -> None:
    """Overwrite the values in the state's texts; the leader reads them from a private file."""
    folder = session.data_folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f".values-{number}.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(list(values)))
        perform(session, "erasure_clean", CleanArguments(number, str(path)), progress)
    finally:
        path.unlink(missing_ok=True)


def _renew_backups(session: ProjectSession) -> None:
    """Delete the automatic backups, which hold earlier states, and make a new one."""
    import shutil

    automatic = backups.own_backups(session.root, session.settings)
    for backup in automatic:
        shutil.rmtree(backup.folder, ignore_errors=True)
    if automatic:
        backups.make_backup(session.root, session.settings)


def _prove(session: ProjectSession, plan: _Plan) -> None:
    """Search everything again. Raise LakeError if a row is left: it was published meanwhile."""
    assert session.store is not None
    with session.store.read() as tx:
        for node in plan.nodes:
            listed = erase_places.table_files(tx, session.folders, node, plan.keys, rewrite=False)
            if listed is not None and (listed.files or listed.loose):
                raise LakeError(
                    f"{node} has rows of the subject again: an attempt that had read them before"
                    " has published meanwhile",
                    hint="run the same command again",
                )


def _certified(session: ProjectSession, response: EraseResponse, number: int) -> tuple[str, str]:
    """Write the certificate; return its path relative to the data folder, and its SHA-256."""
    assert session.store is not None
    with session.store.read() as tx:
        erasure = stored.get(tx, number)
    assert erasure is not None
    content = {
        "certificate": 1,
        "headrace": headrace.__version__,
        "project": session.settings.name,
        "environment": session.env,
        "subject": erasure.subject,
        "plan_id": erasure.plan_id,
        "by": erasure.actor,
        "reason": erasure.reason,
        "started_at": rfc3339(instant(erasure.started_at)),
        "certified_at": rfc3339(datetime.now(UTC)),
        "places": msgspec.to_builtins(response.places),
        "counts": erasure.progress,
        "searched_again": "no row of the subject was found in the tables",
    }
    text = msgspec.json.format(msgspec.json.encode(content)) + b"\n"
    name = _certificate_name(erasure.subject)
    path = session.data_folder / name
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return name, hashlib.sha256(text).hexdigest()


@leader_command("erasure_begin", BeginArguments, ErasureStepResponse)
def _begin(
    context: CommandContext, arguments: BeginArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    _refuse_held_now(context, arguments)
    results: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        erasure = stored.begin(
            tx,
            subject=arguments.subject,
            plan_id=arguments.plan_id,
            actor=context.actor.id,
            reason=arguments.reason,
            keys=arguments.keys,
            now=now,
        )
        event = AuditEvent(
            action=Action.ERASURE_STARTED,
            actor=context.actor,
            object=Object("subject", arguments.subject),
            reason=arguments.reason,
            after={"plan_id": arguments.plan_id, "nodes": sorted(arguments.keys)},
        )
        append(tx, now, event)
        results.append(erasure.id)

    context.tell(write=write)
    return ErasureStepResponse(erasure=results[-1])


def _refuse_held_now(context: CommandContext, arguments: BeginArguments) -> None:
    with context.store.read() as tx:
        held = erasures.held(tx, list(arguments.keys))
    if held:
        raise Refused(
            f"a legal hold of {held[0].actor} forbids it: {held[0].reason}", hint="headrace hold"
        )


def _known(context: CommandContext, number: int) -> stored.Erasure:
    with context.store.read() as tx:
        erasure = stored.get(tx, number)
    if erasure is None:
        raise UsageError(f"there is no erasure {number}", hint="headrace erase … --dry-run")
    return erasure


def _delete(context: CommandContext, number: int) -> None:
    """Delete the files that a step has made unneeded, and forget them."""
    erasure = _known(context, number)
    deleted = erasures.delete_unnamed(context.held.folders, erasure)
    if deleted:
        context.tell(write=lambda tx, _: stored.deleted(tx, erasure, deleted))


@leader_command("erasure_table", TableArguments, ErasureStepResponse)
def _table(
    context: CommandContext, arguments: TableArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    folders, erasure = context.held.folders, _known(context, arguments.erasure)

    def write(tx: Transaction, now: int) -> None:
        if arguments.files:
            erasures.erase_table(
                tx,
                folders,
                erasure,
                arguments.node,
                arguments.files,
                seen=arguments.seen,
                counted=arguments.counted,
                actor=context.actor,
                now=now,
            )
        if arguments.loose:
            stored.unschedule(tx, arguments.loose)
            paths = [f"{folders.lake_name}/{path}" for path in arguments.loose]
            stored.note(tx, erasure, arguments.node, {"loose": len(paths)}, paths)

    try:
        context.tell(write=write)
    except FileMoved:
        return ErasureStepResponse(erasure=erasure.id, outdated=True)
    _delete(context, erasure.id)
    return ErasureStepResponse(erasure=erasure.id)


@leader_command("erasure_copies", CopiesArguments, ErasureStepResponse)
def _copies(
    context: CommandContext, arguments: CopiesArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    erasure = _known(context, arguments.erasure)

    def write(tx: Transaction, now: int) -> None:
        counts = {arguments.what: len(arguments.paths), f"{arguments.what}_rows": arguments.rows}
        stored.note(tx, erasure, arguments.node, counts, arguments.paths)
        for partition in stored.forget_quarantined(tx, arguments.quarantined):
            erasures.forget_values(tx, arguments.node, partition, arguments.rows)
        event = AuditEvent(
            action=Action.ROWS_ERASED,
            actor=context.actor,
            object=Object("node", arguments.node, erasure.subject),
            reason=erasure.reason,
            after={**counts, "attempts": {}},
        )
        append(tx, now, event)

    context.tell(write=write)
    _delete(context, erasure.id)
    return ErasureStepResponse(erasure=erasure.id)


@leader_command("erasure_clean", CleanArguments, ErasureStepResponse)
def _clean_state(
    context: CommandContext, arguments: CleanArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    values = msgspec.json.decode(Path(arguments.values).read_bytes(), type=list[str])
    texts = [value for value in values if len(value) >= erase_places.LITERAL_CHARACTERS_MIN]
    _delete(context, arguments.erasure)
    context.tell(write=lambda tx, _: stored.overwrite(tx, texts))
    epoch, folders = context.held.lease.epoch, context.held.folders
    event_log.shorten(context.store, epoch, folders)
    compact(context)
    return ErasureStepResponse(erasure=arguments.erasure)


def compact(context: CommandContext) -> None:
    """Write the state's file anew, so that its free pages hold nothing of what was deleted.

    PostgreSQL does that by itself (`vacuum full`), which needs its administrator.
    """
    engine = context.store.engine
    if isinstance(engine, SqliteEngine):
        engine.compact()


@leader_command("erasure_finish", FinishArguments, ErasureStepResponse)
def _finish(
    context: CommandContext, arguments: FinishArguments, progress: Progress
) -> ErasureStepResponse:
    del progress
    erasure = _known(context, arguments.erasure)

    def write(tx: Transaction, now: int) -> None:
        stored.finish(tx, erasure, arguments.certificate, now)
        event = AuditEvent(
            action=Action.ERASURE_FINISHED,
            actor=context.actor,
            object=Object("subject", erasure.subject),
            reason=erasure.reason,
            after={
                "plan_id": erasure.plan_id,
                "certificate_sha256": arguments.sha256,
                **arguments.counts,
            },
        )
        append(tx, now, event)

    context.tell(write=write)
    return ErasureStepResponse(erasure=erasure.id)
