"""Questions to a person, on standard error, and only where there is one."""

from __future__ import annotations

import sys


def somebody_there() -> bool:
    """Whether a question can be asked and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def yes(question: str) -> bool:
    """Asks; anything but `y` or `yes` is no."""
    return text(f"{question} [y/N] ").lower() in ("y", "yes")


def text(question: str, default: str = "") -> str:
    """Asks for one line; `default` where nothing is typed or input ends."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip() or default
