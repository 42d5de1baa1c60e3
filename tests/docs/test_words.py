"""The code speaks the words of docs/reference/glossary.md: private words don't come back."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "src/headrace", *sorted(ROOT.glob("packages/*/src")))
CODE = sorted(path for folder in SOURCES for path in folder.rglob("*.py"))

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
NO_NAMES = {
    "told",
    "said",
    "shown",
    "kept",
    "made",
    "own",
    "one",
    "found",
    "judge",
    "moment",
    "turn",
}
"""Words that don't say what a value or a function is, as whole names."""
PUBLIC = {
    "rows_outside",
    "rows_outside_each",  # their `judge` is a field that packages' check kinds pass
    "rows_nowhere",
    "rows_of_another_key",
    "rows_breaking",
    "measure",
    "_by_column",
    "published_keys",  # `moment` of methods that others override
    "bound",
    "keys",
    "fetch",  # `found` of methods that packages override
}
INSTEAD_OF_PHRASES = {
    "nobody has looked": "hasn't been observed",
    "looked at within": "checked within",
    "is told of": "is notified of",
    "nobody is told": "nobody is notified",
    "are judged": "are evaluated",
    "is judged": "is evaluated",
    "made again": "recomputed",
    "cut by time": "partitioned by time",
    "cut by key": "partitioned by key",
    "so many rows": "at most N rows",
    "as many as there is room": "no limit but",
    "into force": "apply",
    "written anew": "rewritten",
    "begins anew": "starts over",
    "stands in the audit trail": "recorded in the audit trail",
    "nobody is there to ask": "there is no terminal",
}
"""A phrase in messages and docs → what to say."""
PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def identifiers(path: Path) -> set[str]:
    """The names in a file, without those in comments and strings."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def test_identifiers_use_the_words_of_the_glossary() -> None:
    """Would catch: a name that only somebody who was there understands."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}: say {INSTEAD[part]}"
        for path in CODE
        for name in sorted(identifiers(path))
        for part in (found.lower() for found in PART.findall(name))
        if part in INSTEAD
    ]
    assert wrong == []


def test_a_word_is_found_inside_a_name() -> None:
    """Would catch: a pattern that finds nothing, so that the other test always passes."""
    assert [part.lower() for part in PART.findall("_MotherOfHands")] == ["mother", "of", "hands"]


def whole_names(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, str, int]]:
    """Each name that is bound in functions or is a function's: name, class or function, line."""
    for node in ast.iter_child_nodes(tree):
        inside = owner
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name.strip("_"), owner, node.lineno
            inside = node.name
        elif isinstance(node, ast.arg):
            yield node.arg.strip("_"), owner, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            is_field = isinstance(tree, ast.AnnAssign)  # public JSON keeps its keys
            yield "" if is_field else node.id.strip("_"), owner, node.lineno
        yield from whole_names(node, inside)


def test_values_and_functions_are_named_after_what_they_are() -> None:
    """Would catch: `said`, `kept` or `made` for ten kinds of values."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name} in {owner or 'the module'}"
        for path in CODE
        if "demo_project" not in path.parts
        for name, owner, line in whole_names(ast.parse(path.read_text(encoding="utf-8")))
        if name in NO_NAMES and owner not in PUBLIC and (name, owner) != ("shown", "")
    ]
    assert wrong == []


def test_messages_and_pages_use_the_words_of_the_glossary() -> None:
    """Would catch: a phrase that a native speaker reads twice, back in a message or a page."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    texts = [*CODE, *(page for page in pages if "decisions" not in page.parts)]
    wrong = [
        f"{path.relative_to(ROOT)}: {phrase!r}: say {instead!r}"
        for path in sorted(texts)
        for phrase, instead in INSTEAD_OF_PHRASES.items()
        if phrase in path.read_text(encoding="utf-8")
    ]
    assert wrong == []
