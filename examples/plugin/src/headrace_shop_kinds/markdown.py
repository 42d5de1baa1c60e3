"""The export format `markdown`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.extension.formats import ExportKind, Portion, as_text

if TYPE_CHECKING:
    import duckdb


class Markdown(ExportKind):
    """A table in Markdown: `to: exports/takings_{date:%Y-%m-%d}.md`."""

    name = "markdown"
    endings = ("md",)
    options: Mapping[str, tuple[str, ...]] = {"align": ("left", "right")}

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        portion: Portion,
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write one line per row."""
        mark = "---:" if options.get("align") == "right" else "---"
        cursor = connection.execute(portion.select(as_text))
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(_line([column.name for column in portion.columns]))
            file.write(_line([mark for _ in portion.columns], escaped=True))
            while rows := cursor.fetchmany(1_000):
                file.writelines(
                    _line(["" if value is None else value for value in row]) for row in rows
                )


def _line(cells: list[str], *, escaped: bool = False) -> str:
    return "| " + " | ".join(cells if escaped else map(_cell, cells)) + " |\n"


def _cell(text: str) -> str:
    """Return a text that can't end a cell or a line."""
    for sign, instead in (
        ("\\", "\\\\"),
        ("|", "\\|"),
        ("\r\n", "<br>"),
        ("\n", "<br>"),
        ("\r", "<br>"),
    ):
        text = text.replace(sign, instead)
    return text
