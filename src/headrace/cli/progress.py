"""Progress on standard error: one bar on a terminal, at most a dozen plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from headrace.cli.screen import Screen, colour_wanted
from headrace.cli.tables import cut
from headrace.cli.text import clean

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINES_MAX = 12
LINE_EVERY_S = 5.0


class Lines:
    """For logs and pipes: a line when a phase begins, now and then, and when it ends."""

    def __init__(self, *, no_color: bool) -> None:
        self._screen = Screen(sys.stderr, no_color=no_color)
        self._left = LINES_MAX
        self._what = ""
        self._total: int | None = None
        self._done = 0
        self._ahead = ""
        self._began = self._said = 0.0

    def start(self, what: str, total: int | None) -> None:
        """Begins a phase."""
        self.finish()
        self._what, self._total, self._done, self._ahead = clean(what), total, 0, ""
        self._began = self._said = time.monotonic()
        self._line(f"{self._what}: {total:,} to do" if total else f"{self._what} …")

    def advance(self, n: int = 1) -> None:
        """Says how far it is, every few seconds."""
        self._done += n
        if time.monotonic() - self._said >= LINE_EVERY_S and self._left > 2:
            self._said = time.monotonic()
            self._line(f"{self._what}: {self._so_far()}{self._ahead}")

    def ahead(self, text: str) -> None:
        """Said with the next line."""
        self._ahead = f", {clean(text)}" if text else ""

    def note(self, line: str) -> None:
        """A line of its own."""
        self._line(f"  {clean(line)}")

    def finish(self) -> None:
        """Ends the phase."""
        if self._what and (self._done or self._total):
            self._line(f"{self._what}: {self._so_far()} in {time.monotonic() - self._began:.1f} s", last=True)
        self._what = ""

    def _so_far(self) -> str:
        return f"{self._done:,} of {self._total:,}" if self._total else f"{self._done:,} done"

    def _line(self, text: str, *, last: bool = False) -> None:
        if self._left > (0 if last else 1):
            self._left -= 1
            self._screen.line(text)
            self._screen.stream.flush()


class Bar:
    """For a terminal: one bar, with notes above it."""

    def __init__(self, *, no_color: bool) -> None:
        self._no_color = no_color
        self._what = ""
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, what: str, total: int | None) -> None:
        """Begins a phase with its bar."""
        self.finish()
        from rich.console import Console  # rich's bars cost 0.1 s, which verbs without one don't pay
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(
            file=sys.stderr, no_color=not colour_wanted(sys.stderr, self._no_color), markup=False, emoji=False, highlight=False
        )
        label = TextColumn("{task.description}", markup=False)
        columns = [label, BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn()]
        self._bar = Progress(*columns, console=console, refresh_per_second=8)
        self._task = self._bar.add_task(cut(clean(what), max(10, console.width - 44)), total=total)
        self._what = what
        self._bar.start()

    def advance(self, n: int = 1) -> None:
        """Moves the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, n)

    def ahead(self, text: str) -> None:
        """Beside what the bar is of."""
        if self._bar is not None and self._task is not None:
            said = f"{self._what}, {text}" if text else self._what
            self._bar.update(self._task, description=cut(clean(said), max(10, self._bar.console.width - 44)))

    def note(self, line: str) -> None:
        """A line above the bar."""
        if self._bar is None:
            Screen(sys.stderr, no_color=self._no_color).line(f"  {clean(line)}")
        else:
            self._bar.console.print(f"  {clean(line)}", markup=False, highlight=False, overflow="ellipsis", no_wrap=True)

    def finish(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def progress(*, no_color: bool) -> Lines | Bar:
    """What suits standard error."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bar(no_color=no_color)
    return Lines(no_color=no_color)
