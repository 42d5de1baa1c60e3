"""The page that lists all others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts.reference_pages.markdown import page as written

GROUPS = (
    (
        "How to",
        "how-to",
        (
            "One thing each, from the first file to the result; tests type the commands and look up"
            " the names in sentences."
        ),
    ),
    ("Reference", "reference", "Generated from the code."),
    ("Explanation", "explanation", "How it works, and why."),
    (
        "Decisions",
        "decisions",
        "What was tried, measured and chosen; [by subject](decisions/README.md).",
    ),
)


def page(docs: Path, generated: Mapping[str, str]) -> str:
    """Tutorial, how-to, reference, explanation, decisions: each page by its title."""
    first = [
        "- [Tutorial](tutorial.md): the first ten minutes",
        "- [What it can't do yet](limits.md)",
    ]
    parts = [first]
    for title, folder, lead in GROUPS:
        texts = {
            f"{folder}/{path.name}": path.read_text(encoding="utf-8")
            for path in (docs / folder).glob("*.md")
            if path.name != "README.md"
        }
        texts |= {path: text for path, text in generated.items() if path.startswith(f"{folder}/")}
        listed = [f"- [{_title(text)}]({path})" for path, text in sorted(texts.items())]
        if listed:
            parts.append([f"## {title}", "", lead, "", *listed])
    return written("Headrace's documentation", "", *parts).replace("\n\n\n\n", "\n\n")


def _title(text: str) -> str:
    return text.splitlines()[0].lstrip("# ").strip()
