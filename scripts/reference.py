"""Write the generated pages of docs/ from the code: `python -m scripts.reference`, or
`make docs`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.reference_pages import (
    api,
    architecture,
    commands,
    files,
    glossary,
    index,
    judged,
    responses,
    state_tables,
)

ROOT = Path(__file__).parent.parent


def pages() -> dict[str, str]:
    """Path below docs/ → text, of every page that is generated."""
    result = {
        "reference/commands.md": commands.page(),
        "reference/files.md": files.page(),
        "reference/checks.md": judged.checks(),
        "reference/sources.md": judged.sources(),
        "reference/exports.md": judged.exports(),
        "reference/responses.md": responses.page(ROOT),
        "reference/api.md": api.page(),
        "reference/state-tables.md": state_tables.page(),
        "reference/problems.md": judged.problems(),
        "reference/glossary.md": glossary.page(),
        "explanation/architecture.md": architecture.page(ROOT),
    }
    return {**result, "index.md": index.page(ROOT, result)}


def main() -> None:
    """Write what differs, and say so."""
    for path, text in pages().items():
        target = ROOT / "docs" / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            sys.stdout.write(f"docs/{path}\n")


if __name__ == "__main__":
    main()
