"""Commands in texts that Headrace prints, and which rows of the table of permissions they are."""

from __future__ import annotations

import re
from collections.abc import Collection

_IN_TEXT = re.compile(r"`(headrace [^`]+)`")
_FOR_EVERYBODY = ("access whoami", "access break-glass", "access break-glass --end")
"""Commands that check another rule than that of a role, or none."""
_PREVIEW = "--dry-run"


def is_command(text: str) -> bool:
    """Whether a text is one command of Headrace."""
    return text.startswith("headrace ")


def commands_in(hint: str) -> list[str]:
    """Return the commands that a hint names: itself if it begins with one, else those in quotes."""
    return [hint] if is_command(hint) else _IN_TEXT.findall(hint)


def name_of(command: str, names: Collection[str]) -> str | None:
    """Return the longest of the names that a typed command begins with, its options considered.

    None for commands that need no role, of other programs too.
    """
    words = command.split()
    if words[:1] != ["headrace"]:
        return None
    positional = [word for word in words[1:] if not word.startswith("-")]
    first, both = " ".join(positional[:1]), " ".join(positional[:2])
    options = [f"{first} {word}" for word in words if word.startswith("--")]
    previews = [f"{both} preview", f"{first} preview"] if _PREVIEW in words else []
    candidates = (*options, *previews, both, first)
    name = next((item for item in candidates if item in names), None)
    return None if name in _FOR_EVERYBODY else name
