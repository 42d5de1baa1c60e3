"""The code speaks the words of docs/reference/glossary.md: private words don't come back."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/headrace"

INSTEAD = {
    "mother": "fork server",
    "hands": "worker handle",
    "crew": "worker pool",
    "crews": "worker pools",
    "bell": "wake-up pipe",
    "bells": "wake-up pipes",
    "workshop": "worker context",
    "caretaker": "maintenance",
    "upkeep": "maintenance",
    "board": "partition states",
    "situation": "scheduler state",
    "lots": "work estimate",
    "sift": "row-level quarantine",
    "staling": "invalidation",
    "shadow": "overlay",
    "unbuilt": "unsupported",
    "scene": "evaluation context",
    "notices": "notifications",
    "oddity": "anomaly",
}
"""A word that must not be part of an identifier → what to say."""
PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def identifiers(path: Path) -> set[str]:
    """The names in a file, without those in comments and strings."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def test_identifiers_use_the_words_of_the_glossary() -> None:
    """Would catch: a name that only somebody who was there understands."""
    wrong = [
        f"{path.relative_to(SOURCE)}: {name}: say {INSTEAD[part]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for name in sorted(identifiers(path))
        for part in (found.lower() for found in PART.findall(name))
        if part in INSTEAD
    ]
    assert wrong == []


def test_a_word_is_found_inside_a_name() -> None:
    """Would catch: a pattern that finds nothing, so that the other test always passes."""
    assert [part.lower() for part in PART.findall("_MotherOfHands")] == ["mother", "of", "hands"]
