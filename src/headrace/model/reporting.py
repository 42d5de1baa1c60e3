"""The problems of one file, collected while it is read, so that a person gets all of them at once."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from headrace.model.nodes import Place
from headrace.model.problems import Problem, ProblemLevel

SHOWN_CHARACTERS_MAX = 60
"""How much of a value a message repeats."""
PROBLEMS_MAX = 200
"""How many problems of one file are kept: the thousandth adds nothing for who reads them."""


class Report:
    """Collects the problems of one file; `file` is its path relative to the project."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def place(self, line: int) -> Place:
        """A place in this file."""
        return Place(file=self.file, line=line)

    def error(self, code: str, line: int, message: str, hint: str = "") -> None:
        """Something that stops `apply`."""
        self._add(Problem(code=code, message=message, hint=hint, place=self.place(line)))

    def warning(self, code: str, line: int, message: str, hint: str = "") -> None:
        """Something worth saying that stops nothing."""
        self._add(Problem(code=code, message=message, hint=hint, place=self.place(line), level=ProblemLevel.WARNING))

    def _add(self, problem: Problem) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        elif len(self.problems) == PROBLEMS_MAX:
            hint = "mend those above, then validate again"
            text = f"there are more than {PROBLEMS_MAX} problems in this file"
            self.problems.append(Problem(code="too_many_problems", message=text, hint=hint, place=problem.place))


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line, without anything that a terminal would obey."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = text[: SHOWN_CHARACTERS_MAX - 1] + "…"
    if not text.isprintable():
        text = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return f"`{text}`"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`did you mean `flights_clean`?`, or nothing where no known name is close.

    Names whose length differs by more than a third can't be close and aren't compared: 10,000 known names cost few milliseconds.
    """
    room = max(2, len(name) // 3)
    lowered = name.lower()
    near = {other.lower(): other for other in known if abs(len(other) - len(name)) <= room}
    results = get_close_matches(lowered, near, n=1, cutoff=0.6)
    return f"did you mean {shown(near[results[0]])}?" if results else ""


def one_of(names: Collection[str]) -> str:
    """`a, b or c`, for messages."""
    words = [f"`{name}`" for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
