"""What workers wrote is on the disk before anything names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from headrace.lake import StagedDeletes, StagedFile
from headrace.lake.syncing import sync, verify
from headrace.model import LakeError
from headrace.run.executors import Finished
from headrace.run.folders import Folders
from headrace.run.messages import Outcome
from headrace.schedule import AttemptId


def make_durable(folders: Folders, finished: Sequence[Finished]) -> dict[AttemptId, str]:
    """Sync what workers wrote, and look whether what was staged is as they said; what is wrong with which attempt's file.

    The bytes of deliveries, quarantined data and files without a table are synced as well: what the store says is kept, is.
    """
    written = [path for f in finished for path in _written(folders, f.outcome)]
    if written:
        sync(written)
    wrong = {}
    for attempt, file in [(f.attempt, file) for f in finished if f.outcome.state == "staged" for file in _files(f.outcome)]:
        try:
            verify(folders.lake, file)
        except LakeError as error:
            wrong[attempt] = str(error)
    return wrong


def _written(folders: Folders, outcome: Outcome) -> Iterator[Path]:
    """The files that an outcome speaks of, as far as they are there."""
    paths = [folders.lake / file.path for file in _files(outcome)] if outcome.state == "staged" else []
    paths += [Path(folders.data, file["path"]) for file in outcome.manifest or () if "path" in file]
    if outcome.quarantined is not None:
        paths.append(Path(folders.data, outcome.quarantined))
    return (path for path in paths if path.exists())


def _files(outcome: Outcome) -> Iterator[StagedFile | StagedDeletes]:
    """Everything that an outcome wants in the lake."""
    if outcome.replacement is not None:
        yield from outcome.replacement.deletes
    for file in (outcome.staged, *(one.staged for one in outcome.rewritten)):
        if file is not None:
            yield file
