"""A run's news as progress: a counter, and a line for each notable partition."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from headrace.project.session import Progress
from headrace.runtime.runs import News

LINES_MAX = 9
"""Maximum number of lines; further ones are counted, and `runs` lists them all."""

MADE = ("published", "staged")
"""States of computed partitions, which need no line.

A backfill publishes them later, all at once.
"""


class Reporting:
    """Receives the news of one run; a context manager."""

    def __init__(self, progress: Progress, what: str, total: int | None = None) -> None:
        self._progress, self._what, self._total = progress, what, total
        self._staged: set[str] = set()
        """Nodes whose partitions are staged before publication: they count when staged."""
        self._counted: set[tuple[str, str]] = set()
        """Counted partitions: a recomputed partition counts once."""
        self._lines = 0
        self._untold = 0

    def __enter__(self) -> Self:
        self._progress.start(self._what, self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._untold:
            self._progress.note(f"… and {self._untold} more")
        self._progress.finish()

    def __call__(self, news: News) -> None:
        """Report the outcome of one partition."""
        if news.state == "staged":
            self._staged.add(news.node)
        if news.state in MADE:
            if (news.state == "staged" or news.node not in self._staged) and self._is_first(news):
                self._progress.advance(1)
            if not news.reason:
                return
        self._say(
            f"{_named(news)} {news.verdict if news.state in MADE else news.state}: {news.reason}"
        )

    def _is_first(self, news: News) -> bool:
        """Whether a partition counts for the first time; always True without a total."""
        if self._total is None:
            return True
        place = (news.node, news.partition)
        known = place in self._counted
        self._counted.add(place)
        return not known

    def _say(self, line: str) -> None:
        if self._lines < LINES_MAX:
            self._lines += 1
            self._progress.note(line)
        else:
            self._untold += 1


def _named(news: News) -> str:
    return news.node if news.partition == "*" else f"{news.node}@{news.partition}"
