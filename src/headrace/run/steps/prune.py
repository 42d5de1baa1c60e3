"""Copies of files without partitions that are replaced: what a plan needs before all that it made can be published at once."""

from __future__ import annotations

import time

from headrace.engine import Measures
from headrace.lake.staging import stage_rewrite
from headrace.run.messages import Outcome, Prune, Rewritten
from headrace.run.steps.workshop import Workshop


def prune(task: Prune, workshop: Workshop) -> Outcome:
    """One copy a file, in their order."""
    began, session = time.monotonic(), workshop.session(task.timezone)
    made = [
        Rewritten(file.path, stage_rewrite(session, file, task.table, without))
        for file, without in zip(task.files, task.without, strict=True)
    ]
    return Outcome(attempt=task.attempt, state="staged", measures=Measures(seconds=time.monotonic() - began), rewritten=tuple(made))
