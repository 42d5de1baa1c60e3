"""Commands in texts that Headrace prints, and which rows of the table of permissions they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

_IN_TEXT = re.compile(r"`(headrace [^`]+)`")
_PREVIEW = "--dry-run"
_ENVIRONMENT = re.compile(r" --env \S+")


def is_command(text: str) -> bool:
    """Whether a text is one command of Headrace."""
    return text.startswith("headrace ")


def commands_in(hint: str) -> list[str]:
    """Return the commands that a hint names: itself if it begins with one, else those in quotes."""
    return [hint] if is_command(hint) else _IN_TEXT.findall(hint)


def with_commands(hint: str, change: Callable[[str], str]) -> str:
    """Return a hint with another text for each of its commands."""
    if is_command(hint):
        return change(hint)
    return _IN_TEXT.sub(lambda quoted: f"`{change(quoted[1])}`", hint)


def name_of(command: str, names: Collection[str]) -> str | None:
    """Return the longest of the names that a typed command begins with, its options considered.

    None for commands of other programs, and for those that are in no table.
    """
    words = _ENVIRONMENT.sub("", command, count=1).split()
    if words[:1] != ["headrace"]:
        return None
    positional = [word for word in words[1:] if not word.startswith("-")]
    first, both = " ".join(positional[:1]), " ".join(positional[:2])
    options = [f"{first} {word}" for word in words if word.startswith("--")]
    previews = [f"{both} preview", f"{first} preview"] if _PREVIEW in words else []
    candidates = (*options, *previews, both, first)
    return next((item for item in candidates if item in names), None)
