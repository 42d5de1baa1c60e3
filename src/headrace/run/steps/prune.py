"""Copies of files without partitions that are replaced: what a plan needs before all that it made can be published at once."""

from __future__ import annotations

import time

from headrace.engine import Measures
from headrace.lake.staging import stage_rewrite
from headrace.run.messages import Outcome, Prune, Rewritten
from headrace.run.steps.worker_context import WorkerContext


def prune(task: Prune, context: WorkerContext) -> Outcome:
    """One copy a file, in their order."""
    began, session = time.monotonic(), context.session(task.timezone)
    made = [
        Rewritten(file.path, stage_rewrite(session, file, task.table, without))
        for file, without in zip(task.files, task.without, strict=True)
    ]
    return Outcome(attempt=task.attempt, state="staged", measures=Measures(seconds=time.monotonic() - began), rewritten=tuple(made))
