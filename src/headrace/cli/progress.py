"""Progress on standard error: one bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from headrace.cli.terminal import Screen, clean, colour_wanted, cut

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

FIRST_AFTER_S = 5.0
"""The first line within a phase; each later one comes after twice the time,"""
SILENT_S_MAX = 60.0
"""but never later than this: whoever reads a log sees that the work goes on."""
NOTES_MAX = 12


class LineProgress:
    """For logs and pipes: a line when a phase begins, while it goes on, and when it ends.

    A thread writes the lines in between, because a step may take longer than a reader's patience.
    """

    def __init__(self, *, no_color: bool) -> None:
        self._screen = Screen(sys.stderr, no_color=no_color)
        self._lock = threading.Lock()
        self._over: threading.Event | None = None
        self._notes_left = NOTES_MAX
        self._what = ""
        self._total: int | None = None
        self._done = 0
        self._ahead = ""
        self._began = 0.0

    def start(self, what: str, total: int | None) -> None:
        """Begins a phase."""
        self.finish()
        self._what, self._total, self._done, self._ahead = clean(what), total, 0, ""
        self._began = time.monotonic()
        self._line(f"{self._what}: {total:,} to do" if total else f"{self._what} …")
        self._over = threading.Event()
        threading.Thread(
            target=self._go_on, args=(self._over,), name="headrace progress", daemon=True
        ).start()

    def advance(self, n: int = 1) -> None:
        """Further steps are done."""
        self._done += n

    def ahead(self, text: str) -> None:
        """Added to the next line."""
        self._ahead = f", {clean(text)}" if text else ""

    def note(self, line: str) -> None:
        """A line of its own; after NOTES_MAX of them the rest is left to the result."""
        if self._notes_left:
            self._notes_left -= 1
            self._line(f"  {clean(line)}")

    def finish(self) -> None:
        """Ends the phase."""
        if self._over is not None:
            self._over.set()
            self._over = None
        if self._what and (self._done or self._total):
            self._line(f"{self._what}: {self._so_far()} in {time.monotonic() - self._began:.1f} s")
        self._what = ""

    def _go_on(self, over: threading.Event) -> None:
        patience = FIRST_AFTER_S
        while not over.wait(patience):
            elapsed = time.monotonic() - self._began
            self._line(f"{self._what}: {self._so_far()} after {elapsed:.0f} s{self._ahead}", over)
            patience = min(2 * patience, SILENT_S_MAX)

    def _so_far(self) -> str:
        return f"{self._done:,} of {self._total:,}" if self._total else f"{self._done:,} done"

    def _line(self, text: str, over: threading.Event | None = None) -> None:
        with self._lock:
            if over is None or not over.is_set():
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
        from rich.console import (
            Console,
        )  # rich's bars cost 0.1 s, which commands without one don't pay
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        console = Console(
            file=sys.stderr,
            no_color=not colour_wanted(sys.stderr, self._no_color),
            markup=False,
            emoji=False,
            highlight=False,
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
            description = f"{self._what}, {text}" if text else self._what
            self._bar.update(
                self._task,
                description=cut(clean(description), max(10, self._bar.console.width - 44)),
            )

    def note(self, line: str) -> None:
        """A line above the bar."""
        if self._bar is None:
            Screen(sys.stderr, no_color=self._no_color).line(f"  {clean(line)}")
        else:
            self._bar.console.print(
                f"  {clean(line)}", markup=False, highlight=False, overflow="ellipsis", no_wrap=True
            )

    def finish(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def progress(*, no_color: bool) -> LineProgress | Bar:
    """What suits standard error."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bar(no_color=no_color)
    return LineProgress(no_color=no_color)
