"""`erase`: erase the rows of one subject, wherever Headrace has put them, with a certificate.

The subject is recorded by keyed hashes only. Each step can be repeated: if the command is ended,
the same command continues.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

import headrace
from headrace.access.agreements import PLAN_CHANGED, PlanChanged, checked_id
from headrace.access.consequences import of_act
from headrace.acts import commands
from headrace.connect.exports.fence import epoch_of
from headrace.extension import (
    ADMINISTER,
    Argument,
    Compiled,
    Option,
    Progress,
    Project,
    ProjectError,
    ProjectSession,
    Refused,
    RequiredReason,
    command,
    command_line,
)
from headrace.faults import FaultPoint, reached
from headrace.lake.erased_files import NUMBER_CHARACTERS_MIN, TEXT_CHARACTERS_MIN
from headrace.model import LakeError
from headrace.plan.project_plan import plan_id_of
from headrace.project.parameters import Agreed, Reason
from headrace.responses import RefusedRow
from headrace.runtime import backups
from headrace.runtime.approval_states import ERASE
from headrace.runtime.removed_rows import discard
from headrace.security.audit import rfc3339
from headrace.security.erasures import CERTIFICATES, hash_key
from headrace.services.act_approvals import Act, approved
from headrace.store.clock import instant
from headrace.store.queries import attempts
from headrace_erase import exports_again, ledger, searched_places, subjects
from headrace_erase.declared import with_removed
from headrace_erase.plan import ERASED, KEPT, ErasePlan, erase_plan_of, place_row
from headrace_erase.queries import erased_exports
from headrace_erase.queries import erasures as stored
from headrace_erase.queries.erased_exports import ErasedExport, NewestExport
from headrace_erase.responses.erasures import (
    ErasedPlaceRow,
    EraseResponse,
)
from headrace_erase.search import ExportWrite, one_process, written_again
from headrace_erase.searched_places import Keys
from headrace_erase.services.erase_steps import (
    erasure_begin,
    erasure_clean,
    erasure_copies,
    erasure_export,
    erasure_finish,
    erasure_table,
    refuse_held,
)

TRIES = 5
"""Maximum number of times that tables and exports are searched again, because one was published."""
WAIT_SECONDS, WAIT_SECONDS_MAX = 0.5, 60.0
"""How often attempts at exports are looked up that began before the rows were erased, how long."""
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


@command("erase", ADMINISTER)
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
    Refused under a legal hold, NeedsApproval if policy requires an approval, PlanChanged if the
    plan differs from `plan_id`, and LakeError for files that can't be searched.
    """
    checked_id(plan_id)
    condition = subjects.parsed(where)
    if session.store is None or session.compiled is None:
        raise ProjectError("nothing is applied yet, so nothing is kept", hint="headrace apply")
    text = (reason or "").strip()
    if not dry_run:
        text = commands.required_reason(
            reason, "erase", "the certificate names it; write no personal value in it"
        )
    with one_process():
        compiled = _ever_declared(session, session.compiled)
        plan = erase_plan_of(session, compiled, subject, condition, from_node)
        response = _response(session, plan)
        if plan_id is not None and plan_id != response.plan_id:
            row = RefusedRow(
                code=PLAN_CHANGED,
                plan_id_now=response.plan_id,
                files=[],
                changed=["the places with rows of the subject aren't those that were planned"],
            )
            raise PlanChanged(plan_id, row, response, "headrace erase … --dry-run")
        refuse_held(session.store, plan.nodes)
        if dry_run:
            return response
        if plan_id is None and not confirm(response):
            return msgspec.structs.replace(response, state="declined")
        with approved(session, _act(session, compiled, plan, response, text), progress):
            return _erased(session, compiled, plan, response, text, progress)


def _ever_declared(session: ProjectSession, compiled: Compiled) -> Compiled:
    with session.existing_store.read() as tx:
        return with_removed(tx, compiled)


def _act(
    session: ProjectSession,
    compiled: Compiled,
    plan: ErasePlan,
    response: EraseResponse,
    reason: str,
) -> Act:
    """Return the erasure as an act that rules may hold back."""
    erased = [place for place in plan.places if place.action == ERASED and place.what == "rows"]
    return Act(
        kind=ERASE,
        steps=[],
        plan_id=response.plan_id,
        consequence=of_act(
            compiled,
            plan.nodes,
            partitions=sum(len(place.partitions) for place in erased),
            rows=sum(place.rows or 0 for place in erased),
            cache=session.data_folder / "cache",
        ),
        command=command_line("erase", plan.subject, "--where", "KEYS", "--reason", "TEXT"),
        reason=reason,
    )


@command("erase preview", ADMINISTER, session="preview_erase")
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


@command("erase", ADMINISTER, session="erase")
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


def _response(session: ProjectSession, plan: ErasePlan) -> EraseResponse:
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


def _erased(
    session: ProjectSession,
    compiled: Compiled,
    plan: ErasePlan,
    response: EraseResponse,
    reason: str,
    progress: Progress,
) -> EraseResponse:
    keys = {node: tuple(rows) for node, rows in plan.keys.by_node.items()}
    entry = ledger.LedgerEntry(plan.subject, response.plan_id, session.actor, reason, keys)
    ledger.append_ledger(session.data_folder, entry)
    since = _begun_at(session, plan.subject)
    step = erasure_begin.perform(
        session, progress, plan.subject, response.plan_id, reason, keys, plan.exports
    )
    reached(FaultPoint.ERASURE_BEGUN)
    number = step.erasure
    _erase_everywhere(session, compiled.project, plan, number, progress)
    _rewrite_exports(session, compiled, plan.nodes, number, since, progress)
    response = _with_earlier(session, response, number)
    left = _files_left(session, compiled, plan)
    response = msgspec.structs.replace(response, places=[*response.places, *left])
    certificate, digest = _certified(session, response, number)
    reached(FaultPoint.ERASURE_CERTIFIED)
    counts = {
        action: sum(place.action == action for place in response.places)
        for action in (ERASED, KEPT)
    }
    erasure_finish.perform(session, progress, number, certificate, digest, counts)
    return msgspec.structs.replace(
        response,
        now=session.now(),
        state="erased",
        erasure=number,
        certificate=str(session.data_folder / certificate),
    )


def _begun_at(session: ProjectSession, subject: str) -> int:
    """Return when the erasure of a subject that isn't complete was begun, else the time now."""
    with session.existing_store.read() as tx:
        erasure = stored.of_subject(tx, subject)
    if erasure is not None and erasure.state == stored.RUNNING:
        return erasure.started_at
    return session.clock.now_us()


def _erase_everywhere(
    session: ProjectSession, project: Project, plan: ErasePlan, number: int, progress: Progress
) -> None:
    _erase_logs(session, plan)  # at first, because other values aren't known without the rows
    for node in plan.nodes:
        _erase_table(session, project, node, plan.keys, number, progress)
    _erase_copies(session, project, plan, number, progress)
    _erase_logs(session, plan)
    _clean(session, plan, number, progress)
    _renew_backups(session)
    _prove(session, plan)


def _with_earlier(session: ProjectSession, response: EraseResponse, number: int) -> EraseResponse:
    """Return the response with the rows that the same command erased before it was ended."""
    with session.existing_store.read() as tx:
        erasure = stored.get(tx, number)
        exports = exports_again.erased_rows(erased_exports.of_erasure(tx, number))
    assert erasure is not None
    done = {
        (place.node, place.what): place
        for node, counts in erasure.progress.items()
        for place in _done(node, counts, response.places)
    }
    planned = [
        place
        for place in response.places
        if (place.action == KEPT or (place.node, place.what) not in done)
        and not (place.what == "export" and place.partitions)
    ]
    return msgspec.structs.replace(response, places=[*done.values(), *exports, *planned])


def _done(
    node: str, counts: dict[str, int], planned: Sequence[ErasedPlaceRow]
) -> Iterator[ErasedPlaceRow]:
    """Yield what was done to a node's table and to its stored deliveries."""
    if "rows" in counts:
        why = f"published rows, in all snapshots; files that were replaced: {counts['files']}"
        known = [place for place in planned if (place.node, place.what) == (node, "rows")]
        partitions = known[0].partitions if known else []
        yield place_row(node, "rows", counts["rows"], ERASED, why, partitions)
    if "raw" in counts:
        why = f"stored bytes of deliveries; deleted files, whose hashes stay: {counts['raw']}"
        yield place_row(node, "raw", counts["raw_rows"], ERASED, why)


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
    compiled = _ever_declared(session, session.compiled)
    results = []
    for entry in entries.values():
        if entry.subject not in done:
            with suppress(Refused):
                _again(session, compiled, entry, progress)
                results.append(entry.subject)
    return results


def _again(
    session: ProjectSession, compiled: Compiled, entry: ledger.LedgerEntry, progress: Progress
) -> None:
    nodes = tuple(name for name in compiled.order if name in entry.keys)
    sources = tuple(name for name in nodes if name in compiled.project.sources)
    keys = Keys(entry.keys, hash_key(session.data_folder))
    plan = ErasePlan(entry.subject, keys, (), [], nodes, sources)
    step = erasure_begin.perform(
        session, progress, entry.subject, entry.plan_id, entry.reason, dict(entry.keys)
    )
    _erase_everywhere(session, compiled.project, plan, step.erasure, progress)
    name = _certificate_name(entry.subject)
    path = session.data_folder / name
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    erasure_finish.perform(session, progress, step.erasure, name, digest, {})


def _certificate_name(subject: str) -> str:
    return f"{CERTIFICATES}/{subject}.json"


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
    for attempt in range(TRIES):
        with session.existing_store.read() as tx:
            listed = searched_places.table_files(tx, session.folders, node, keys, rewrite=True)
        if listed is None or not (listed.files or listed.loose):
            return
        reached(FaultPoint.ERASURE_REWRITTEN)
        step = erasure_table.perform(
            session, progress, number, node, listed.files, listed.seen, listed.loose, counted
        )
        if not step.outdated:
            return
        discard(session.folders, listed.files)
        if attempt == TRIES - 1:
            raise LakeError(
                f"{node} is published again and again while its files are rewritten",
                hint=f"{command_line('pause', node)} --reason TEXT, then erase again",
            )


def _erase_copies(
    session: ProjectSession, project: Project, plan: ErasePlan, number: int, progress: Progress
) -> None:
    data = session.data_folder
    for node in plan.sources:
        with session.existing_store.read() as tx:
            copied = searched_places.copies(tx, session.folders, project.sources[node], plan.keys)
        if copied.raw:
            paths = tuple(str(Path(path).relative_to(data)) for path in copied.raw)
            erasure_copies.perform(session, progress, number, node, "raw", copied.rows, paths)
    with session.existing_store.read() as tx:
        held = searched_places.quarantined(tx, session.folders, plan.nodes, plan.keys)
    for item in held:
        if item.rows is not None:
            paths, numbers = (item.path,), (item.number,)
            erasure_copies.perform(
                session, progress, number, item.node, "quarantine", item.rows, paths, numbers
            )


def _erase_logs(session: ProjectSession, plan: ErasePlan) -> None:
    names = [place.node for place in plan.places if place.what in ("log", "rows")]
    with session.existing_store.read() as tx:
        logged = searched_places.logs_with(
            tx, session.folders, sorted({*names, *plan.nodes}), (*plan.values, *plan.others)
        )
    for paths in logged.values():
        for path in paths:
            searched_places.cleaned_log(path, plan.values, plan.others)


def _clean(session: ProjectSession, plan: ErasePlan, number: int, progress: Progress) -> None:
    """Overwrite values in the state's texts; the leader reads them from a private file."""
    with session.existing_store.read() as tx:
        erasure = stored.get(tx, number)
    quoting = {*plan.quoting, *(erasure.progress if erasure is not None else ())}
    folder = session.data_folder / CERTIFICATES
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f".values-{number}.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode((plan.values, plan.others)))
        erasure_clean.perform(session, progress, number, str(path), tuple(sorted(quoting)))
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


def _prove(session: ProjectSession, plan: ErasePlan) -> None:
    """Search everything again. Raise LakeError if a row is left: it was published meanwhile."""
    with session.existing_store.read() as tx:
        for node in plan.nodes:
            listed = searched_places.table_files(
                tx, session.folders, node, plan.keys, rewrite=False
            )
            if listed is not None and (listed.files or listed.loose):
                raise LakeError(
                    f"{node} has rows of the subject again: an attempt that had read them before"
                    " has published meanwhile",
                    hint="run the same command again",
                )


def _files_left(
    session: ProjectSession, compiled: Compiled, plan: ErasePlan
) -> list[ErasedPlaceRow]:
    """Return the files and tables that have a value of the keys after all, byte by byte."""
    consumers = compiled.project.consumers
    with session.existing_store.read() as tx:
        files = searched_places.files_that_still_have(tx, session.folders, consumers, plan.values)
        tables = searched_places.tables_that_still_have(tx, plan.values)
    why = "has a value of the keys after all, or can't be read: delete it, or the rows in it"
    still = "of the state has a value of the keys after all"
    return [
        *(place_row("*", "file", None, KEPT, f"{path} {why}") for path in files),
        *(place_row("*", "state", None, KEPT, f"the table {name} {still}") for name in tables),
    ]


def _certified(session: ProjectSession, response: EraseResponse, number: int) -> tuple[str, str]:
    """Write the certificate; return its path relative to the data folder, and its SHA-256."""
    with session.existing_store.read() as tx:
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
        "searched_again": (
            "no row of the subject was found in the tables; files, and tables of the state, with a"
            " value of the keys are among the places"
        ),
        "texts": (
            "what texts of the state quote about the nodes of the places is overwritten, and so are"
            " lines of their logs with a key, and in other lines the rows' texts from"
            f" {TEXT_CHARACTERS_MIN} characters on, but for dates, numbers of up to"
            f" {NUMBER_CHARACTERS_MIN - 1} characters and single words in lower case"
        ),
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


def _rewrite_exports(
    session: ProjectSession,
    compiled: Compiled,
    nodes: Sequence[str],
    number: int,
    since: int,
    progress: Progress,
) -> None:
    """Write the exports of an erasure again; one that can't be is noted as kept.

    Exports that were written since `since` may have read the rows before they were erased, so they
    are written again, too. Raises LakeError if that doesn't come to an end.
    """
    erased_at = session.clock.now_us()
    tried = set[int]()
    for _ in range(TRIES):
        _wait_for_exports(session, compiled, nodes, erased_at)
        waiting = [
            item
            for item in _waiting_exports(session, compiled, nodes, number, since)
            if item.publication not in tried
        ]
        if not waiting:
            return
        for item in waiting:
            tried.add(item.publication)
            _rewrite_export(session, item, number, progress)
    raise LakeError(
        "exports of the subject's rows are written again and again meanwhile",
        hint="pause the consumers, then run the same command again",
    )


def _wait_for_exports(
    session: ProjectSession, compiled: Compiled, nodes: Sequence[str], erased_at: int
) -> None:
    """Wait for attempts at exports that began before the rows were erased.

    They may have read the rows, and put a file with them in place when they end. Raises LakeError
    if one takes too long.
    """
    end = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        with session.existing_store.read() as tx:
            names = {
                consumer.name
                for consumer in exports_again.ExportLookup(session, tx, compiled).readers(nodes)
            }
            early = [
                attempt
                for attempt in attempts.running(tx)
                if attempt.node in names and attempt.queued_at <= erased_at
            ]
        if not early:
            return
        if time.monotonic() > end:
            raise LakeError(
                f"{early[0].node} is still exported by the attempt {early[0].id}, which may have"
                " read rows of the subject",
                hint="run the same command again when it has ended",
            )
        time.sleep(WAIT_SECONDS)


def _waiting_exports(
    session: ProjectSession, compiled: Compiled, nodes: Sequence[str], number: int, since: int
) -> list[exports_again.ExportToErase]:
    session.clock.now_us()
    with session.existing_store.read() as tx:
        lookup = exports_again.ExportLookup(session, tx, compiled)
        noted = {
            (item.consumer, item.interval): item for item in erased_exports.of_erasure(tx, number)
        }
        return [
            exports_again.examined(lookup, consumer, newest)
            for consumer in lookup.readers(nodes)
            for newest in erased_exports.newest_exports(tx, consumer.name)
            if _is_due(noted.get((consumer.name, newest.interval)), newest, since)
        ]


def _is_due(noted: ErasedExport | None, newest: NewestExport, since: int) -> bool:
    if noted is not None and (noted.state, noted.publication) == (
        erased_exports.ERASED,
        newest.publication,
    ):
        return False
    return (
        noted is not None and noted.state != erased_exports.ERASED
    ) or newest.published_at >= since


def _rewrite_export(
    session: ProjectSession, item: exports_again.ExportToErase, number: int, progress: Progress
) -> None:
    manifest, why = _exported_again(session, item)
    reached(FaultPoint.ERASURE_EXPORTED)
    erasure_export.perform(session, progress, number, *item.key, manifest, why)


def _exported_again(
    session: ProjectSession, item: exports_again.ExportToErase
) -> tuple[tuple[dict[str, Any], ...] | None, str]:
    """Write an export again; return what was written, or why it is kept."""
    if item.task is None:
        return None, f"{exports_again.targets_named(item.targets)}: {item.why}"
    task, why = item.task, "other leaders take over again and again"
    for _ in range(TRIES):
        task = msgspec.structs.replace(task, erases=epoch_of(session.folders.fence))
        try:
            answer = written_again(ExportWrite(task, session.folders, os.cpu_count() or 1))
        except LakeError as error:
            why = str(error)
            break
        if answer.manifest is not None:
            return answer.manifest, ""
        if not answer.fenced:
            why = answer.why
            break
    again = exports_again.exports_now(item.consumer, item.interval)
    named = exports_again.targets_named(item.targets)
    return None, f"{named}: {why}; then run the same command again, or {again}"
