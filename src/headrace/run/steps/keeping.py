"""The files that an outcome speaks of; those of a plan's attempts are on the disk before a worker answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace.lake import StagedDeletes, StagedFile
from headrace.lake.syncing import sync_each
from headrace.plan.attempt_numbers import plan_of
from headrace.run.folders import Folders
from headrace.run.messages import TaskOutcome
from headrace.schedule import AttemptId


def kept(outcome: TaskOutcome, folders: Folders) -> TaskOutcome:
    """The outcome, once what it speaks of would survive a power cut, if it is of a plan. (What production's attempts wrote is synced by
    the leader, of many attempts at once.) Raises LakeError where that can't be done."""
    epoch, _, n = outcome.attempt.partition(".")
    if plan_of(AttemptId(int(epoch), int(n))):
        sync_each(written_by(folders, outcome))
    return outcome


def written_by(folders: Folders, outcome: TaskOutcome) -> Iterator[Path]:
    """The files that an outcome speaks of, as far as they are there."""
    paths = [folders.lake / file.path for file in files_of(outcome)] if outcome.state == "staged" else []
    paths += [Path(folders.data, file["path"]) for file in outcome.manifest or () if "path" in file]
    if outcome.quarantined is not None:
        paths.append(Path(folders.data, outcome.quarantined))
    return (path for path in paths if path.exists())


def files_of(outcome: TaskOutcome) -> Iterator[StagedFile | StagedDeletes]:
    """Everything that an outcome wants in the lake."""
    if outcome.replacement is not None:
        yield from outcome.replacement.deletes
    for file in (outcome.staged, *(file.staged for file in outcome.rewritten)):
        if file is not None:
            yield file
