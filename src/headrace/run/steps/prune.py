"""Copies of files without partitions that are replaced: what a plan needs before all that it made can be published at once."""

from __future__ import annotations

import time

from headrace.engine import Measures
from headrace.lake.staging import stage_rewrite
from headrace.run.messages import Prune, RewrittenFile, TaskOutcome
from headrace.run.steps.worker_context import WorkerContext


def prune(task: Prune, context: WorkerContext) -> TaskOutcome:
    """One copy a file, in their order."""
    began, session = time.monotonic(), context.session(task.timezone)
    files = [
        RewrittenFile(file.path, stage_rewrite(session, file, task.table, without))
        for file, without in zip(task.files, task.without, strict=True)
    ]
    return TaskOutcome(attempt=task.attempt, state="staged", measures=Measures(seconds=time.monotonic() - began), rewritten=tuple(files))
