"""Values that a task gets beyond the workers' clean environment: variables and secrets.

They enter a task when it is sent, through the pipe to one worker. From then on the worker is of
this kind (`environment_kind`): it never gets a task of another kind that runs asset code and could
read what is left in memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import msgspec

from headrace.connect.connectors import connector_name
from headrace.engine.attempts import Handed
from headrace.model import CommandBody, Project, PythonBody
from headrace.runtime.messages import (
    CodeEnvironment,
    ComputeTask,
    ExportTask,
    IngestTask,
    ObserveTask,
    Prune,
    Task,
)
from headrace.security.secrets import ON_THIS_MACHINE, SecretMissing, Secrets, references_in

CONNECTED = "connected"
"""Kind of a worker with the whole environment.

Drivers and clients read it: proxies, certificates, cloud credentials.
"""
_PLAIN: Hashable = ((), (), ())
"""Kind of a worker whose tasks got nothing beyond the clean environment."""


def environment_kind(task: Task) -> Hashable:
    """Return the kind of environment that a task's worker must have; None if any will do."""
    if isinstance(task, ComputeTask):
        if not isinstance(task.body, PythonBody | CommandBody):
            return None
        if _is_plain(task.environment):
            return _PLAIN
        return (
            tuple(sorted(task.environment.variables.items())),
            task.environment.passed,
            tuple(sorted(task.environment.secrets.items())),
        )
    return CONNECTED if _connects(task) else None


def _is_plain(environment: CodeEnvironment) -> bool:
    """Return whether an asset's code gets nothing beyond the clean environment."""
    return not (environment.variables or environment.passed or environment.secrets)


def _handed(task: Task, environment: Mapping[str, str], secrets: Secrets) -> Handed | None:
    """Return the values for a task from the sender's environment; None if it needs none."""
    if not isinstance(task, ComputeTask):
        if not _connects(task):
            return None
        secrets.hide_all(_references(task))
        return Handed(dict(environment))
    secrets.hide_all(task.environment.hidden)
    if not isinstance(task.body, PythonBody | CommandBody) or _is_plain(task.environment):
        return None
    variables = {
        name: environment[name] for name in task.environment.passed if name in environment
    } | task.environment.variables
    try:
        values = {
            name: str(secrets.resolved(reference))
            for name, reference in task.environment.secrets.items()
        }
    except SecretMissing as error:
        reason = f"{error}; {error.hint}" if error.hint else str(error)
        return Handed(missing=reason, unreachable=error.transient)
    return Handed(variables | values, tuple(values)) if variables or values else None


def with_handed(task: Task, environment: Mapping[str, str], secrets: Secrets) -> Task:
    """Return the task as it is sent, with its values from the sender's environment.

    `secrets` resolves references and remembers the values, so that the sender can redact the
    answer.
    """
    handed = _handed(task, environment, secrets)
    if handed is None or isinstance(task, Prune):
        return task
    return msgspec.structs.replace(task, handed=handed)


def secrets_of(project: Project) -> tuple[str, ...]:
    """Return references to the secrets of this machine that a project declares.

    In connections, sources (headers, parameters), assets, exports and channels. Asset code can't
    find those of managers in a file, and asking for them would make each attempt wait.
    """
    return tuple(sorted({item for item in _declared(project) if item.startswith(ON_THIS_MACHINE)}))


def _declared(project: Project) -> Iterator[str]:
    settings = project.settings
    yield from references_in(
        [settings.connections, settings.notify, settings.openlineage, settings.environments]
    )
    yield from references_in(settings.store_url)
    for source in project.sources.values():
        yield from references_in(source.connector)
    for asset in project.assets.values():
        yield from references_in(asset.secrets)
    for consumer in project.consumers.values():
        yield from references_in(consumer.export or {})


def _connects(task: Task) -> bool:
    """Whether a task connects to something outside this machine's files, or resolves references."""
    match task:
        case ObserveTask() | ExportTask():
            return True
        case IngestTask():
            return connector_name(task.source) is not None or bool(task.connection)
    return False


def _references(task: Task) -> Iterator[str]:
    match task:
        case ObserveTask() | IngestTask():
            yield from references_in([task.connection, task.source.connector])
        case ExportTask():
            yield from references_in([task.connection, task.target, task.keys])
