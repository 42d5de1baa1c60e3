"""`on_fail: quarantine_rows`: rows that break a check wait in quarantine, all others are published, with a warning.

Where a check fails that no row can be taken out for, where no row is left, or where what is left must be held after all, the whole
partition waits, as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headrace.lake import LakeTable, StagedFile
from headrace.lake.inlining import Readable
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import write_rows
from headrace.model import CheckSpec, Severity
from headrace.quality import Audit, Verdict
from headrace.quality.faulty_rows import NotOfRows, faulty, parted
from headrace.run.messages import TaskOutcome
from headrace.run.steps.worker_context import WorkerContext

QUARANTINE_ROWS = "quarantine_rows"


class RowSplit(msgspec.Struct, frozen=True):
    """A staged file and its audit; where rows were taken out, also the file with them and the file with all."""

    staged: StagedFile
    audit: Audit
    bad: StagedFile | None = None
    every: StagedFile | None = None
    whole: Audit | None = None
    """The audit of all rows."""

    def settle(self, outcome: TaskOutcome, context: WorkerContext) -> TaskOutcome:
        """What came of the rows that were left, with those that were taken out in quarantine; all of them where it isn't published."""
        if self.bad is None or self.every is None or self.whole is None:
            return outcome
        if outcome.state == "staged":
            _remove(context, self.every)
            message = f"{self.bad.rows} of {self.every.rows} rows wait in quarantine"
            reason = "; ".join(filter(None, [message, outcome.reason]))
            return msgspec.structs.replace(
                outcome, reason=reason, quarantined=context.quarantine(self.bad), quarantined_rows=self.bad.rows
            )  # fmt: skip
        _remove(context, self.bad)
        if outcome.quarantined is None:
            _remove(context, self.every)
            return outcome
        (context.folders.data_path / outcome.quarantined).unlink(missing_ok=True)
        staged = self.every.hashed(self.whole.content_hash)
        return msgspec.structs.replace(outcome, staged=staged, quarantined=context.quarantine(self.every))


def blocking(on_fail: str) -> str:
    """How checks are judged while it isn't known which rows break them."""
    return "reject" if on_fail == QUARANTINE_ROWS else on_fail


def without_faulty_rows(
    session: DuckDBSession, staged: StagedFile, table: LakeTable, checks: Sequence[CheckSpec], audited: Callable[[StagedFile], Audit],
    references: Sequence[Readable], timezone: str, *, on_fail: str,
) -> RowSplit:  # fmt: skip
    """Audit a staged file; with `on_fail: quarantine_rows`, where that rejects it, once more without the rows that are at fault.
    Of a file of several partitions no rows are taken out."""
    import duckdb

    audit = audited(staged)
    if on_fail != QUARANTINE_ROWS or audit.verdict is not Verdict.REJECTED or len(staged.partitions) != 1:
        return RowSplit(staged, audit)
    try:
        query = faulty(session, staged, table, checks, audit, references, timezone)
        bad = write_rows(session, parted(session, staged, table, query, bad=True), table, staged.partitions[0].key)
    except (NotOfRows, duckdb.Error):
        return RowSplit(staged, audit)
    left = write_rows(session, parted(session, staged, table, query, bad=False), table, staged.partitions[0].key)
    again = audited(left) if left.rows and bad.rows + left.rows == staged.rows else None
    if again is None or again.verdict is Verdict.REJECTED:
        for file in (bad, left):
            (session.data_folder / file.path).unlink()
        return RowSplit(staged, audit)
    return RowSplit(left, _told(again, audit), bad, staged, audit)


def _told(again: Audit, audit: Audit) -> Audit:
    """The audit of the rows that are left, with what was wrong with the others as warnings."""
    results = [
        msgspec.structs.replace(before, severity=Severity.WARNING)
        if before.outcome == "failed" and before.severity is Severity.BLOCKING
        else now
        for now, before in zip(again.results, audit.results, strict=True)
    ]
    return msgspec.structs.replace(again.with_warning(), results=tuple(results))


def _remove(context: WorkerContext, file: StagedFile) -> None:
    (context.folders.lake / file.path).unlink(missing_ok=True)
