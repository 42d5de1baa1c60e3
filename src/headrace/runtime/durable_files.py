"""Files that an outcome refers to survive a power failure before anything refers to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from headrace.lake import StagedDeletes, StagedFile
from headrace.lake.files import sync, sync_each, verify_below
from headrace.model import LakeError
from headrace.plan.backfills import plan_of_attempt
from headrace.runtime.disk_priority import in_usual_class
from headrace.runtime.executors import TaskFinished
from headrace.runtime.folders import Folders
from headrace.runtime.messages import (
    FailedOutcome,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.scheduler import AttemptId

# A worker syncs the files of a backfill's attempts before it answers.


def with_durable_files(outcome: TaskOutcome, folders: Folders) -> TaskOutcome:
    """Return the outcome; first sync its files if the attempt is a backfill's.

    The leader syncs files of production's attempts, of several at once. Raises LakeError if the
    files can't be synced.
    """
    if isinstance(outcome, FailedOutcome) or not _names_files(outcome):
        return outcome
    epoch, _, n = outcome.attempt.partition(".")
    if plan_of_attempt(AttemptId(int(epoch), int(n))):
        with in_usual_class():
            sync_each(written_by(folders, outcome))
    return outcome


def written_by(folders: Folders, outcome: TaskOutcome) -> Iterator[Path]:
    """Return the existing files that an outcome refers to."""
    if isinstance(outcome, FailedOutcome) or not _names_files(outcome):
        return iter(())
    return (path for path in _paths(folders, outcome) if path.exists())


def _names_files(outcome: StagedOutcome | WithheldOutcome) -> bool:
    """Whether an outcome refers to any file; that of an asset without a table doesn't."""
    if outcome.staged is not None or outcome.quarantined is not None:
        return True
    return isinstance(outcome, StagedOutcome) and (
        outcome.replacement is not None or bool(outcome.rewritten or outcome.manifest)
    )


def _paths(folders: Folders, outcome: StagedOutcome | WithheldOutcome) -> Iterator[Path]:
    """Yield the path of each file that an outcome refers to."""
    if isinstance(outcome, StagedOutcome):
        yield from (folders.lake / file.path for file in files_of(outcome))
        for entry in outcome.manifest or ():
            if "path" in entry:  # an export's entry names a target instead
                yield Path(folders.data, entry["path"])
    if outcome.quarantined is not None:
        yield Path(folders.data, outcome.quarantined)


def files_of(outcome: StagedOutcome) -> Iterator[StagedFile | StagedDeletes]:
    """Yield all files that an outcome adds to the lake."""
    if outcome.replacement is not None:
        yield from outcome.replacement.deletes
    for file in (outcome.staged, *(file.staged for file in outcome.rewritten)):
        if file is not None:
            yield file


# Makes files of production's attempts durable before anything refers to them.


def make_durable(folders: Folders, finished: Sequence[TaskFinished]) -> dict[AttemptId, str]:
    """Sync the files that workers wrote and verify staged ones; return attempt → fault of its file.

    Workers have synced the files of backfills themselves (`with_durable_files`): production doesn't
    wait for that.

    The bytes of deliveries, quarantined data and files without a table are synced as well: whatever
    the store refers to must survive a power failure.
    """
    written = [
        path
        for f in finished
        if not plan_of_attempt(f.attempt)
        for path in written_by(folders, f.outcome)
    ]
    if written:
        sync(written)
    wrong, root = dict[AttemptId, str](), None
    for attempt, file in [
        (f.attempt, file)
        for f in finished
        if isinstance(f.outcome, StagedOutcome) and _names_files(f.outcome)
        for file in files_of(f.outcome)
    ]:
        root = root or folders.lake.resolve()
        try:
            verify_below(root, file)
        except LakeError as error:
            wrong[attempt] = str(error)
    return wrong
