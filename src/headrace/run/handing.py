"""What tasks are handed beyond the clean environment of workers: variables, and secrets of those that declare them.

The values are put into a task when it is sent, through the pipe to one worker. A worker that was handed something is of that kind from
then on (`kind_of`): no task of another kind that runs asset code, and so could see what is left of it in memory, is ever given to it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import msgspec

from headrace.connect.kinds import name_of
from headrace.engine.environment import Handed
from headrace.govern.secrets import SecretMissing, Secrets, references_in
from headrace.model import CommandBody, Project, PythonBody
from headrace.run.messages import ComputeTask, ExportTask, IngestTask, ObserveTask, Prune, Task

CONNECTED = "connected"
"""The kind of a worker that has the whole environment, for drivers and clients that read it (proxies, certificates, clouds' keys)."""


def kind_of(task: Task) -> Hashable:
    """What the environment of a task's worker has to be like; None where nothing depends on it."""
    if isinstance(task, ComputeTask):
        if not isinstance(task.body, PythonBody | CommandBody):
            return None
        return (
            tuple(sorted(task.environment.items())),
            task.pass_environment,
            tuple(sorted(task.secrets.items())),
        )
    return CONNECTED if _connects(task) else None


def handed(task: Task, environment: Mapping[str, str], secrets: Secrets) -> Handed | None:
    """What a task is handed, from the environment of who sends it; None for nothing. `secrets` resolves, and remembers the values, so
    that who sends it can redact what comes back."""
    if not isinstance(task, ComputeTask):
        if not _connects(task):
            return None
        secrets.hide_all(_references(task))
        return Handed(dict(environment))
    secrets.hide_all(task.hidden)
    if not isinstance(task.body, PythonBody | CommandBody):
        return None
    variables = {name: environment[name] for name in task.pass_environment if name in environment} | task.environment
    try:
        values = {name: str(secrets.resolved(reference)) for name, reference in task.secrets.items()}
    except SecretMissing as error:
        return Handed(missing=f"{error}; {error.hint}" if error.hint else str(error))
    return Handed(variables | values, tuple(values)) if variables or values else None


def with_handed(task: Task, environment: Mapping[str, str], secrets: Secrets) -> Task:
    """The task as it is sent."""
    given = handed(task, environment, secrets)
    return task if given is None or isinstance(task, Prune) else msgspec.structs.replace(task, handed=given)


def secrets_of(project: Project) -> tuple[str, ...]:
    """References to all secrets that a project declares: of connections, sources (headers, parameters), assets, exports, channels."""
    return tuple(sorted(set(_declared(project))))


def _declared(project: Project) -> Iterator[str]:
    settings = project.settings
    yield from references_in([settings.connections, settings.notify, settings.openlineage, settings.environments])
    yield from references_in(settings.store_url)
    for source in project.sources.values():
        yield from references_in(source.connector)
    for asset in project.assets.values():
        yield from references_in(asset.secrets)
    for consumer in project.consumers.values():
        yield from references_in(consumer.export or {})


def _connects(task: Task) -> bool:
    """Whether a task talks to something outside of this machine's files, or resolves references."""
    match task:
        case ObserveTask() | ExportTask():
            return True
        case IngestTask():
            return name_of(task.source) is not None or bool(task.connection)
    return False


def _references(task: Task) -> Iterator[str]:
    match task:
        case ObserveTask() | IngestTask():
            yield from references_in([task.connection, task.source.connector])
        case ExportTask():
            yield from references_in([task.connection, task.target])
