"""Fixture files: cases separated by blank lines; `#` lines are remarks, lines with a mark are
expectations, the rest is SQL."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FIXTURES = Path(__file__).parent / "fixtures"


class Case(NamedTuple):
    sql: str
    expected: tuple[str, ...]


def cases(name: str, mark: str) -> list[Case]:
    """All cases of a fixture file whose expectations begin with `mark`."""
    result = []
    for block in (FIXTURES / name).read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("# ")]
        sql = "\n".join(line for line in lines if not line.startswith(f"{mark} "))
        if sql.strip():
            result.append(
                Case(
                    sql.strip("\n"),
                    tuple(line[2:] for line in lines if line.startswith(f"{mark} ")),
                )
            )
    return result
