"""An error as a person reads it: one line, a hint, where; never a traceback unless asked for."""

from __future__ import annotations

import sys
import traceback

from headrace.cli.screen import Screen
from headrace.cli.tables import paragraph
from headrace.cli.text import clean
from headrace.model.errors import HeadraceError
from headrace.model.problems import Problem

PROBLEMS_SHOWN_MAX = 20


def report(error: BaseException, *, verbose: bool, no_color: bool = False) -> int:
    """Prints `error` to standard error and returns the exit code that it means."""
    screen = Screen(sys.stderr, no_color=no_color)
    if verbose:
        sys.stderr.writelines(traceback.format_exception(error))
    if isinstance(error, HeadraceError):
        _known(screen, error)
        return error.exit_code
    where = "" if verbose else "; the same with -v shows where"
    say(screen, _unexpected(error), hint=f"`headrace db check` says whether the state is whole{where}")
    return 1


def say(screen: Screen, message: str, *, hint: str = "", where: str = "") -> None:
    """`error: …`, and below it the hint and the place."""
    paragraph(screen, f"error: {message}", style="bad")
    if hint:
        paragraph(screen, f"hint: {hint}", indent=2)
    if where:
        screen.line(f"  at {clean(where)}")


def _known(screen: Screen, error: HeadraceError) -> None:
    problems: tuple[Problem, ...] = tuple(getattr(error, "problems", ()))
    place = getattr(error, "place", None)
    say(screen, str(error), hint=error.hint, where=f"{place.file}:{place.line}" if place else "")
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        paragraph(screen, f"{problem.place.file}:{problem.place.line}  {problem.message}", indent=2)
        if problem.hint:
            paragraph(screen, f"hint: {problem.hint}", indent=4)
    if len(problems) > PROBLEMS_SHOWN_MAX:
        screen.line(f"  and {len(problems) - PROBLEMS_SHOWN_MAX} more: headrace validate")


def _unexpected(error: BaseException) -> str:
    """What the operating system refused is the user's to mend; anything else is a fault of Headrace's own."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if type(error).__module__.partition(".")[0] in ("sqlite3", "psycopg"):
        return f"the state database refused a statement of Headrace's ({type(error).__name__}: {error})"
    return f"headrace failed: {type(error).__name__}: {error}"
