"""What workers wrote is on the disk before anything names it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.lake.syncing import sync, verify
from headrace.model import LakeError
from headrace.plan.attempt_numbers import plan_of
from headrace.run.executors import TaskFinished
from headrace.run.folders import Folders
from headrace.run.steps.keeping import files_of, written_by
from headrace.schedule import AttemptId


def make_durable(folders: Folders, finished: Sequence[TaskFinished]) -> dict[AttemptId, str]:
    """Sync what workers wrote, and look whether what was staged is as they said; what is wrong with which attempt's file. Of plans the
    workers have synced it themselves (`keeping`): production doesn't wait for that.

    The bytes of deliveries, quarantined data and files without a table are synced as well: what the store says is kept, is.
    """
    written = [path for f in finished if not plan_of(f.attempt) for path in written_by(folders, f.outcome)]
    if written:
        sync(written)
    wrong = {}
    for attempt, file in [(f.attempt, file) for f in finished if f.outcome.state == "staged" for file in files_of(f.outcome)]:
        try:
            verify(folders.lake, file)
        except LakeError as error:
            wrong[attempt] = str(error)
    return wrong
