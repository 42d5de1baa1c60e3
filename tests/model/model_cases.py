"""Cases as text: one a line, blank lines and `#` lines between."""

from __future__ import annotations

from pathlib import Path


def cases(name: str) -> list[str]:
    """The lines of `cases/<name>.txt`."""
    lines = (Path(__file__).parent / "cases" / f"{name}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]
