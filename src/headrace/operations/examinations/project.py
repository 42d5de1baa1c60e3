"""The project's files: whether they are valid and applied, and whether what they refer to is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.govern.secrets import SecretMissing, Secrets
from headrace.model import Level, Settings
from headrace.operations.examinations.finding import Finding, fail, ok, warn
from headrace.operations.session import Session


def project(session: Session) -> Iterator[Finding]:
    """What the files say."""
    compilation = session.declared()
    problems = compilation.problems
    errors = [problem for problem in problems if problem.level is Level.ERROR]
    if errors:
        first = errors[0]
        yield fail("declarations", f"{len(errors)} errors, the first in {first.place.file}:{first.place.line}", "headrace validate")
    elif problems:
        yield warn("declarations", f"valid, with {len(problems)} warning{'' if len(problems) == 1 else 's'}", "headrace validate")
    else:
        yield ok("declarations", "valid")
    yield from _applied(session)
    yield from _secrets(session)


def _applied(session: Session) -> Iterator[Finding]:
    compiled = session.declared().compiled
    if compiled is None:
        return
    if session.version is None:
        yield warn("applied", "nothing is applied yet", "headrace apply, or the first headrace tick")
        return
    from headrace.plan import changes

    changed = {change.node for change in changes(session.compiled, compiled)}
    if changed:
        yield warn("applied", f"version {session.version}; {len(changed)} nodes differ in the files", "headrace apply")
    else:
        yield ok("applied", f"version {session.version} is what the files say")


def _secrets(session: Session) -> Iterator[Finding]:
    """Each place that refers to secrets; values are never shown."""
    secrets = Secrets(session.root)
    for where, value in _referring(session.settings, session):
        try:
            secrets.resolved(value)
        except SecretMissing as error:
            yield fail(where, str(error), error.hint)
        else:
            yield ok(where, "its secrets are there")


def _referring(settings: Settings, session: Session) -> Iterator[tuple[str, Any]]:
    for kind, tables in (("connections", settings.connections), ("notify", settings.notify)):
        for name, table in tables.items():
            if _refers(table):
                yield f"[{kind}.{name}]", table
    found = session.declared().project
    for name, source in (found.sources if found else {}).items():
        if _refers(source.connector):
            yield f"source {name}", source.connector


def _refers(value: Any) -> bool:
    """Whether there is a reference to a secret in a value."""
    if isinstance(value, str):
        return "secret://" in value or "${" in value
    if isinstance(value, dict):
        return any(map(_refers, value.values()))
    return isinstance(value, list | tuple) and any(map(_refers, value))
