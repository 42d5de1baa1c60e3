"""A look in a worker: at a source that isn't a local folder, or into files whose rows are several intervals'."""

from __future__ import annotations

from headrace.connect.kinds import Access, Unavailable, kind_of
from headrace.govern.secrets import SecretMissing
from headrace.run.messages import LookAt, Looked
from headrace.run.steps.workshop import Workshop


def look(task: LookAt, workshop: Workshop) -> Looked:
    """What is there; an error is part of the answer."""
    access = Access(
        source=task.source,
        connection=task.connection,
        secrets=workshop.secrets,
        temporary=workshop.folders.temporary,
        now_us=task.now_us,
    )
    if task.files:
        return _looked_into(task, workshop)
    try:
        seen = kind_of(task.source).look(access, task.wanted, task.known)
    except Unavailable as error:
        return Looked(task.attempt, error=workshop.secrets.scrubbed(str(error)), code=error.code)
    except SecretMissing as error:
        return Looked(task.attempt, error=f"{error}; {error.hint}", code="configuration_error")
    notes = (note.message for note in seen.notes)
    return Looked(task.attempt, found=seen.found, notes=tuple(map(workshop.secrets.scrubbed, notes)))


def _looked_into(task: LookAt, workshop: Workshop) -> Looked:
    """Which intervals the rows of each file belong to: one delivery an interval, all of one bundle."""
    raise NotImplementedError
