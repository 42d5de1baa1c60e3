"""`try`: compute and audit one partition from the current files in a worker. Publishes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import msgspec

from headrace.checks import Audit
from headrace.engine import logs
from headrace.extension import (
    READ,
    Argument,
    Asset,
    AttemptId,
    Compiled,
    LostWorker,
    ObservationFinished,
    Option,
    Pool,
    ProjectSession,
    Settings,
    Task,
    TaskFinished,
    command,
    plain,
    worker_settings,
)
from headrace.lake import FileRef, LakeTable, catalog
from headrace.lake.catalog import newest_snapshot
from headrace.model import UsageError
from headrace.model.partitions import delivery_key
from headrace.privacy.masking import refuse_hidden, refuse_inputs
from headrace.project import targets
from headrace.project.parameters import ParameterValues
from headrace.project.session import usable
from headrace.responses import CheckRow, ColumnRow, ErrorRow
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.messages import (
    ComputeTask,
    FailedOutcome,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.tasks import TaskBuilder
from headrace.scheduler import Dispatch
from headrace.security.state import open_state
from headrace.services.render import with_parameters
from headrace.store import Store
from headrace.store.queries import publications
from headrace_testing.responses import TryResponse

EPOCH = 0
"""An epoch that no leader ever has, so that leftovers can't be taken for an attempt's."""


@command(
    "try",
    READ,
    of="target",
    session="try_asset",
    not_for_agents="it runs the code of assets in the process that calls it",
    group="act",
    summary="compute and audit one asset without publishing",
)
def try_asset(
    session: ProjectSession,
    target: Annotated[
        str,
        Argument(
            "ASSET[@K]",
            help="an asset, and which partition (default: the newest that can be computed)",
        ),
    ],
    *,
    limit: Annotated[
        int, Option("--limit", metavar="N", help="rows shown"), msgspec.Meta(ge=0)
    ] = 10,
    parameters: ParameterValues = None,
) -> TryResponse:
    """Compute and audit one partition of an asset as the files stand, and publish nothing.

    Without a partition, it takes the newest whose inputs are published. Raise InvalidProject if the
    files have errors, UsageError for an unknown asset, partition or parameter.
    """
    compiled = with_parameters(usable(session.declared()), dict(parameters or {}))
    name, key = targets.target(target, compiled.project, kinds=(Asset,))
    refuse_hidden(session, name, "try")
    refuse_inputs(session, compiled, name, "try")
    with _store(session) as store:
        key = key or _newest(store, compiled, compiled.project.assets[name])
        return _tried(session, store, compiled, name, key, limit)


@contextmanager
def _store(session: ProjectSession) -> Iterator[Store]:
    """Open the project's state; before the first run a temporary empty one, which is deleted."""
    if session.store is not None:
        with open_state(session.root, session.settings) as store:
            yield store
        return
    with TemporaryDirectory(prefix="headrace-try-") as folder:
        settings = Settings(name=session.settings.name)
        with Store.open(Path(folder), settings, create=True) as store:
            with store.write(None) as tx:
                catalog.create(tx, f"{session.folders.lake}/")
            yield store


def _newest(store: Store, compiled: Compiled, asset: Asset) -> str:
    if asset.partition.whole:
        return "*"
    with store.read() as tx:
        names = [asset.name, *(spec.node for spec in compiled.nodes[asset.name].inputs)]
        for name in names:
            node = compiled.project.sources.get(name) or compiled.project.assets[name]
            publication = (
                publications.newest(tx, name)
                if node.partition.grain == asset.partition.grain
                else None
            )
            if publication is not None:
                follows = asset.partition.by_delivery and not node.partition.by_delivery
                return delivery_key(publication.id) if follows else publication.partition
    raise UsageError(
        f"nothing that {asset.name} reads is published yet",
        hint=f"name a partition: {asset.name}@K, or `headrace run` first",
    )


def _tried(
    session: ProjectSession, store: Store, compiled: Compiled, name: str, key: str, limit: int
) -> TryResponse:
    folders = session.folders
    attempt = AttemptId(EPOCH, os.getpid())
    tasks = TaskBuilder(AppliedVersion(0, "", compiled), str(session.root))
    with store.read() as tx:
        prepared = tasks.prepare(
            tx, Dispatch(attempt, name, (key,), 0), session.clock.now_us(), newest_snapshot(tx)
        )
    try:
        with Pool(worker_settings(folders, 1), 1) as pool:
            answer = _answer(pool, attempt, _as_the_files_are(prepared.task))
        log = [line.text for line in logs.read(folders.log(*attempt))]
        if isinstance(answer, LostWorker):
            return _lost(name, key, answer, log)
        return _response(session, name, key, answer.outcome, log, limit)
    finally:
        shutil.rmtree(folders.log(*attempt).parent, ignore_errors=True)


def _as_the_files_are(task: Task) -> Task:
    """Return the task with schema evolution: unpublished rows needn't fit the table."""
    return msgspec.structs.replace(task, evolve=True) if isinstance(task, ComputeTask) else task


def _answer(pool: Pool, attempt: AttemptId, task: Task) -> TaskFinished | LostWorker:
    pool.submit(attempt, task)
    while True:
        for answer in pool.wait(None):
            if not isinstance(answer, ObservationFinished):
                return answer


def _lost(name: str, key: str, answer: LostWorker, log: list[str]) -> TryResponse:
    error = ErrorRow(kind="lost_worker", message=f"the worker {answer.reason}")
    return TryResponse(
        asset=name,
        partition=key,
        state="failed",
        rows_total=None,
        columns=[],
        rows=[],
        checks=[],
        error=error,
        log=log,
    )


def _response(
    session: ProjectSession,
    name: str,
    key: str,
    outcome: TaskOutcome,
    log: list[str],
    limit: int,
) -> TryResponse:
    if isinstance(outcome, FailedOutcome):
        return TryResponse(
            asset=name,
            partition=key,
            state=outcome.state,
            rows_total=None,
            columns=[],
            rows=[],
            checks=check_rows(outcome.audit),
            seconds=outcome.measures.seconds,
            error=error_row(outcome),
            log=log,
        )
    lake, data = session.folders.lake, Path(session.folders.data)
    path = lake / outcome.staged.path if outcome.staged else None
    if outcome.quarantined is not None:
        if isinstance(outcome, StagedOutcome):  # rows removed by row-level quarantine
            (data / outcome.quarantined).unlink(missing_ok=True)
        else:
            path = data / outcome.quarantined
    table = outcome.table or _table_of(outcome)
    try:
        columns, rows = (
            _rows(session, path, table, limit)
            if path is not None and table is not None
            else ([], [])
        )
    finally:
        if path is not None:
            path.unlink(missing_ok=True)
        for deletes in outcome.replacement.deletes if outcome.replacement else ():
            (lake / deletes.path).unlink(missing_ok=True)
    return TryResponse(
        asset=name,
        partition=key,
        state=_state(outcome),
        rows_total=outcome.staged.rows if outcome.staged else None,
        columns=columns,
        rows=rows,
        checks=check_rows(outcome.audit),
        seconds=outcome.measures.seconds,
        error=None,
        reason=outcome.reason or None,
        log=log,
    )


def _state(outcome: StagedOutcome | WithheldOutcome) -> str:
    if not isinstance(outcome, StagedOutcome):
        return outcome.state
    return outcome.audit.verdict if outcome.audit else "unchecked"


def _table_of(outcome: StagedOutcome | WithheldOutcome) -> LakeTable | None:
    return LakeTable("staged", outcome.staged.columns) if outcome.staged else None


def _rows(
    session: ProjectSession, path: Path, table: LakeTable, limit: int
) -> tuple[list[ColumnRow], list[dict[str, Any]]]:
    from headrace.lake.reading import read

    rows = read(
        session.folders.lake, [FileRef(str(path))], table, limit=limit, timezone=session.timezone
    )
    return [ColumnRow(name=c.name, type=c.type) for c in rows.columns], list(rows.rows)


def check_rows(audit: Audit | None) -> list[CheckRow]:
    """Return the outcome of each check; empty if nothing was audited."""
    if audit is None:
        return []
    return [
        CheckRow(
            name=r.name,
            kind=r.kind,
            severity=r.severity,
            outcome=r.outcome,
            rows=r.rows,
            failing=r.failing,
            detail=r.detail,
            sample=list(r.sample),
        )
        for r in audit.results
    ]


def error_row(outcome: TaskOutcome) -> ErrorRow | None:
    """Return the error of a failed attempt; None without one."""
    if not isinstance(outcome, FailedOutcome):
        return None
    error = outcome.error
    return ErrorRow(
        kind=error.kind,
        message=plain(error.message),  # whoever may try it may read its inputs
        file=error.file,
        line=error.line,
        hint=error.hint or None,
        code=error.code or None,
    )
