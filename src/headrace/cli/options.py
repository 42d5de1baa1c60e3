"""The options that every command takes, before it or after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Options(NamedTuple):
    """What was said for the whole command. None and False mean that nothing was said."""

    project: str | None = None
    env: str | None = None
    now: str | None = None
    json: bool = False
    no_color: bool = False
    verbose: bool = False
    utc: bool = False

    def over(self, before: Options) -> Options:
        """These, with what they don't say taken from `before`."""
        return Options._make(mine or theirs for mine, theirs in zip(self, before, strict=True))


class ValueMissing(Exception):
    """An option that needs a value stands at the end; the text names it."""


VALUES = {"--project": "project", "--env": "env", "--now": "now"}
FLAGS = {"--json": "json", "--no-color": "no_color", "-v": "verbose", "--verbose": "verbose", "--utc": "utc"}


def split(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The options before the command, and the rest, which begins with the command or with an option that isn't one of these.

    Raises `ValueMissing`.
    """
    said: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        option, equals, value = rest[0].partition("=")
        if rest[0] in FLAGS:
            said[FLAGS[rest.pop(0)]] = True
        elif option in VALUES:
            rest.pop(0)
            if not equals and not rest:
                raise ValueMissing(option)
            said[VALUES[option]] = value if equals else rest.pop(0)
        else:
            break
    return Options(**said), rest
