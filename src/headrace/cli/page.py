"""What a command prints for people: lines, tables, times in one zone, and the next command at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.cli import tables
from headrace.cli.moments import TimeFormatter
from headrace.cli.screen import Screen
from headrace.cli.tables import ColumnLayout, Row
from headrace.cli.text import clean, clean_lines

_ENVIRONMENT = re.compile(r" --env \S+")
_PROJECT = re.compile(r" --project ('(?:[^']|'\"'\"')*'|\S+)")
"""The folder, quoted as a shell needs it."""


class CommandOutput:
    """One command's output. Everything that comes from users or data is made safe here."""

    def __init__(self, screen: Screen, reader: TimeFormatter | None, suffix: str = "") -> None:
        self.screen = screen
        self._reader = reader
        self._suffix = suffix

    @property
    def reader(self) -> TimeFormatter:
        """Where the clock stands; commands that work without a project don't ask."""
        if self._reader is None:
            raise RuntimeError("this command has no clock")
        return self._reader

    def say(self, text: str = "", style: str = "", *, indent: int = 0) -> None:
        """Prose, wrapped between words."""
        tables.paragraph(self.screen, text, indent=indent, style=style)

    def raw(self, text: str) -> None:
        """Lines that must stay as they are (SQL, source, log lines), but for characters that steer terminals."""
        for line in clean_lines(text).split("\n"):
            self.screen.line(line)

    def log(self, lead: str, text: str, style: str) -> None:
        """One captured line behind when it was written; as long as it is, because people copy from it."""
        self.screen.line(self.screen.style(lead, "dim") + self.screen.style(clean(text), style))

    def table(self, columns: Sequence[ColumnLayout], rows: Sequence[Row], *, header: bool = True) -> None:
        """A table that fits the screen; nothing where there are no rows."""
        if rows:
            tables.table(self.screen, columns, rows, header=header)

    def head(self, *parts: str) -> None:
        """The page's first line: what it is about, and where the clock stands."""
        self.facts(*parts, self.reader.clock() if self._reader else "", style="bold")

    def facts(self, *parts: str, style: str = "") -> None:
        """Short facts on one line, `·` between them."""
        tables.facts(self.screen, parts, style=style)

    def clock_note(self) -> None:
        """Names the zone of the times above, and the replay clock, on pages that have no head."""
        self.say(self.reader.clock(), "dim")

    def command(self, command: str, *, indent: int = 0) -> None:
        """A command to be typed, never broken, with the options that make it run from here."""
        self.screen.line(" " * indent + self._typed(command))

    def next(self, *commands: str | None) -> None:
        """The last line: what to type next, never broken, with the options that make it run from here."""
        said = [self._typed(command) for command in commands if command]
        if said:
            self.screen.line("next: " + "      then: ".join(said), "bold")

    def either(self, *commands: str) -> None:
        """The last line, where one of several commands is typed next."""
        self.screen.line("next: " + "      or: ".join(self._typed(command) for command in commands), "bold")

    def _typed(self, command: str) -> str:
        """A command with what it needs here; one that names its environment is about that one."""
        if command.startswith("git "):  # it has no options of ours, and runs where the project is
            project = _PROJECT.search(self._suffix)
            return clean(f"git -C {project[1]} {command.removeprefix('git ')}" if project else command)
        suffix = _ENVIRONMENT.sub("", self._suffix) if " --env " in command else self._suffix
        return clean(command) + suffix
