"""Progress on standard error: a bar on a terminal, plain lines anywhere else."""

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
"""Seconds from a phase's begin to its first line; each further interval is twice as long."""
SILENT_S_MAX = 60.0
"""Maximum seconds between two lines, so that a log shows that the work continues."""
NOTES_MAX = 12
"""Maximum number of messages of one operation."""


class LineProgress:
    """Progress for logs and pipes: lines when a phase begins, while it runs, and when it ends.

    A thread writes the lines in between, because a single step may take minutes.
    """

    def __init__(self, *, no_color: bool) -> None:
        self._screen = Screen(sys.stderr, no_color=no_color)
        self._lock = threading.Lock()
        self._phase_ended: threading.Event | None = None
        self._notes_left = NOTES_MAX
        self._phase = ""
        self._total: int | None = None
        self._done = 0
        self._ahead = ""
        self._began = 0.0

    def start(self, what: str, total: int | None) -> None:
        """Begin a phase of `total` steps; None if the number isn't known."""
        self.finish()
        self._phase, self._total, self._done, self._ahead = clean(what), total, 0, ""
        self._began = time.monotonic()
        self._line(f"{self._phase}: {total:,} to do" if total else f"{self._phase} …")
        self._phase_ended = threading.Event()
        threading.Thread(
            target=self._write_lines,
            args=(self._phase_ended,),
            name="headrace progress",
            daemon=True,
        ).start()

    def advance(self, n: int = 1) -> None:
        """Count finished steps."""
        self._done += n

    def ahead(self, text: str) -> None:
        """Set a text about the remaining work, which is added to the next lines."""
        self._ahead = f", {clean(text)}" if text else ""

    def note(self, line: str) -> None:
        """Print a message; after NOTES_MAX messages, further ones are left out."""
        if self._notes_left:
            self._notes_left -= 1
            self._line(f"  {clean(line)}")

    def stop(self) -> None:
        """Print no more of the phase, which an error may have ended."""
        if self._phase_ended is not None:
            with self._lock:
                self._phase_ended.set()
            self._phase_ended = None

    def finish(self) -> None:
        """End the phase; print its steps and its duration."""
        self.stop()
        if self._phase and (self._done or self._total):
            self._line(
                f"{self._phase}: {self._count_text()} in {time.monotonic() - self._began:.1f} s"
            )
        self._phase = ""

    def _write_lines(self, phase_ended: threading.Event) -> None:
        interval = FIRST_AFTER_S
        while not phase_ended.wait(interval):
            elapsed = time.monotonic() - self._began
            text = f"{self._phase}: {self._count_text()} after {elapsed:.0f} s{self._ahead}"
            self._line(text, phase_ended)
            interval = min(2 * interval, SILENT_S_MAX)

    def _count_text(self) -> str:
        return f"{self._done:,} of {self._total:,}" if self._total else f"{self._done:,} done"

    def _line(self, text: str, phase_ended: threading.Event | None = None) -> None:
        with self._lock:
            if phase_ended is None or not phase_ended.is_set():
                self._screen.line(text)
                self._screen.stream.flush()


class Bar:
    """Progress for a terminal: one bar, with messages above it."""

    def __init__(self, *, no_color: bool) -> None:
        self._no_color = no_color
        self._phase = ""
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, what: str, total: int | None) -> None:
        """Begin a phase of `total` steps with its bar; None if the number isn't known."""
        self.finish()
        # importing rich takes 0.1 s, which commands without a bar don't need
        from rich.console import Console
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
        self._phase = what
        self._bar.start()

    def advance(self, n: int = 1) -> None:
        """Advance the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, n)

    def ahead(self, text: str) -> None:
        """Set a text about the remaining work, which is added to the bar's label."""
        if self._bar is not None and self._task is not None:
            description = f"{self._phase}, {text}" if text else self._phase
            self._bar.update(
                self._task,
                description=cut(clean(description), max(10, self._bar.console.width - 44)),
            )

    def note(self, line: str) -> None:
        """Print a message above the bar."""
        if self._bar is None:
            Screen(sys.stderr, no_color=self._no_color).line(f"  {clean(line)}")
        else:
            self._bar.console.print(
                f"  {clean(line)}", markup=False, highlight=False, overflow="ellipsis", no_wrap=True
            )

    def stop(self) -> None:
        """Stop the bar and leave it on the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    finish = stop


def progress(*, no_color: bool) -> LineProgress | Bar:
    """Return the progress display that suits standard error."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bar(no_color=no_color)
    return LineProgress(no_color=no_color)
