"""Whether a delivery restates what readers see of its intervals, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from headrace.connect.keep import CHUNK_BYTES, RawCopy, kept_as
from headrace.connect.kinds import name_of
from headrace.engine.failures import BodyFailed
from headrace.lake import StagedFile
from headrace.lake.session import DuckDBSession
from headrace.quality import restating
from headrace.quality.anomalies import MetricHistory
from headrace.quality.anomalies.policy import decided
from headrace.quality.facts import Fact
from headrace.quality.restating import PreviousPublication, RestatementCounts, restated
from headrace.run.messages import IngestTask, RowChangeCounts
from headrace.run.steps.comparing import differences
from headrace.run.steps.corrected import corrected
from headrace.run.steps.restated_columns import changed_columns

MUCH_CHANGED = 0.1
"""A source without partitions delivers its whole table each time, which grows and changes: it is
restated only where this part of the rows is gone or other than before, or where they are doubled."""


def restatements(task: IngestTask, staged: StagedFile, session: DuckDBSession, sha256: str) -> tuple[Fact, ...]:
    """A fact for each partition that was published and sound, and that now comes otherwise. None of a source that Headrace asks again
    and again for what it has now: its values change by nature, and nobody has said that they wouldn't."""
    if not task.before or task.previous is None:
        return ()
    if task.source.partition.whole and name_of(task.source) is not None:
        return ()
    now = {part.key: (part.rows, part.content_hash) for part in staged.partitions}
    now |= {key: (0, None) for key in task.keys if key not in now}
    known = {key: publication.content_hash for key, publication in task.before.items() if publication.content_hash is not None}
    moved = msgspec.structs.replace(staged, partitions=tuple(part for part in staged.partitions if part.key in task.before))
    was: tuple[Fact, ...] = ()
    try:
        changed = differences(task.source.checks, task.previous, known, moved, session)
        columns = changed_columns(task.previous, moved, changed, session)
        other = {key: publication for key, publication in task.before.items() if key in changed}
        was = corrected(other, task.previous, moved, task.history, session)
    except BodyFailed:  # what readers saw isn't there any more: it is restated all the same, nobody can say by how much
        changed, columns = {}, {}
    if task.source.partition.whole and not _much(task.before, changed):
        return was
    counts = {key: RestatementCounts(counts.added, counts.removed, counts.changed, columns.get(key, ())) for key, counts in changed.items()}
    return (*was, *restated(task.before, now, sha256, counts))


def cut_off(task: IngestTask, staged: StagedFile, copy: RawCopy, raw: Path) -> tuple[Fact, ...]:
    """A fact where the file of a published interval comes again and is only its beginning. What
    `on_anomaly` says of it is heeded."""
    was = task.before.get(task.found.partition)
    if was is None or was.sha256 is None or len(task.keys) != 1 or task.source.partition.whole or copy.parts:
        return ()
    fact = restating.cut_off(task.found.partition, was, staged.rows, [metrics.rows for metrics in MetricHistory(task.history, None).all()])
    published = kept_as(raw, was.sha256)
    if fact is None or published is None or not _begins(Path(published.path), Path(copy.path)):
        return ()
    return tuple(decided((fact,), task.around.on_anomaly, task.around.of_columns))


def _begins(whole: Path, part: Path) -> bool:
    """Whether a file is the beginning of a longer one."""
    if part.stat().st_size >= whole.stat().st_size:
        return False
    with whole.open("rb") as item, part.open("rb") as other:
        while chunk := other.read(CHUNK_BYTES):
            if item.read(len(chunk)) != chunk:
                return False
    return True


def _much(before: Mapping[str, PreviousPublication], changed: Mapping[str, RowChangeCounts]) -> bool:
    """Whether more of a table changed than is usual for one that is delivered as it is now."""
    rows = {key: publication.rows for key, publication in before.items()}
    return any(counts.removed + counts.changed >= MUCH_CHANGED * rows[key] or counts.added >= rows[key] for key, counts in changed.items())
