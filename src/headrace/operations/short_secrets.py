"""Secrets that are too short to be redacted: they are only warned of, because replacing `abc` everywhere would hide other words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from headrace.govern.redaction import PROMISED_CHARACTERS_MIN
from headrace.govern.secrets import SecretMissing, Secrets, references_in
from headrace.model import Place, Problem, ProblemLevel, Project

_PORT = re.compile(r"(?:@|//)[^/@]*:(\$\{\w+\})(?=[/?]|$)")
"""A reference that stands where a URL has its port: no secret, however short its value is."""
_KEYRING = "secret://keyring/"
"""Not looked up: a keyring may ask the user to unlock it."""


def short_secrets(project: Project, root: Path) -> list[Problem]:
    """A warning for each declared secret whose value can be looked up here and has fewer than six characters."""
    secrets, problems = Secrets(root), {}
    ports = set(_ports(project.settings.connections))
    for reference, place in _declared(project):
        if reference in problems or reference in ports or reference.startswith(_KEYRING):
            continue
        with suppress(SecretMissing):
            if 0 < len(secrets.resolved(reference)) < PROMISED_CHARACTERS_MIN:
                problems[reference] = Problem(
                    code="short_secret",
                    message=f"the value of {reference} has fewer than {PROMISED_CHARACTERS_MIN} characters: "
                    "logs and errors aren't reliably kept without it",
                    hint="use a longer secret",
                    place=place,
                    level=ProblemLevel.WARNING,
                )
    return list(problems.values())


def _ports(connections: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    for connection in connections.values():
        for value in connection.values():
            if isinstance(value, str):
                yield from _PORT.findall(value)


def _declared(project: Project) -> Iterator[tuple[str, Place]]:
    settings, file = project.settings, Place(file="headrace.toml")
    for value in (settings.connections, settings.notify, settings.openlineage, settings.environments, settings.store_url):
        for reference in references_in(value):
            yield reference, file
    for asset in project.assets.values():
        yield from ((reference, asset.place) for reference in references_in(asset.secrets))
    for source in project.sources.values():
        yield from ((reference, source.place) for reference in references_in(source.connector))
    for consumer in project.consumers.values():
        yield from ((reference, consumer.place) for reference in references_in(consumer.export or {}))
