"""What a command prints for people: lines, tables, times in one zone, and the next command."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from headrace.cli import terminal
from headrace.cli.terminal import ColumnLayout, Row, Screen, StyledCell, clean, clean_lines
from headrace.model.times import duration
from headrace.services.responses import ColumnRow

# Times are printed in one time zone, with a date unless they are of today.

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class TimeFormatter(NamedTuple):
    """Where a reader's clock stands, and in which zone: what is needed to write a time for them."""

    now: datetime
    zone: tzinfo
    zone_name: str
    replay: bool

    @classmethod
    def at(cls, now: datetime, timezone: str, *, replay: bool, utc: bool = False) -> TimeFormatter:
        """A reader in the project's zone, or in UTC."""
        name = "UTC" if utc else timezone
        zone = ZoneInfo(name)
        return cls(now.astimezone(zone), zone, name, replay)

    def clock(self) -> str:
        """`Thu 2013-02-14 07:20 America/New_York (replay clock)`."""
        text = " (replay clock)" if self.replay else ""
        return f"{self.now:%a %Y-%m-%d %H:%M} {self.zone_name}{text}"

    def time_text(self, at: datetime | None) -> str:
        """`07:00` today, `Tue 02-12 07:00` this year, `2012-12-31 07:00` before;
        nothing for None.
        """
        if at is None:
            return ""
        local = at.astimezone(self.zone)
        return f"{self._day(local.date())} {local:%H:%M}".lstrip()

    def second(self, at: datetime) -> str:
        """As `time_text`, to the second."""
        local = at.astimezone(self.zone)
        return f"{self._day(local.date())} {local:%H:%M:%S}".lstrip()

    def partition(self, key: str | None) -> str:
        """A day's key with its weekday (`Sun 02-10`), any other as it is; `–` for none."""
        if key is None:
            return "–"
        if not _DAY.fullmatch(key):
            return key
        try:
            day = date.fromisoformat(key)
        except ValueError:
            return key
        return f"{day:%a %m-%d}" if day.year == self.now.year else f"{day:%a %Y-%m-%d}"

    def _day(self, day: date) -> str:
        if day == self.now.date():
            return ""
        return f"{day:%a %m-%d}" if day.year == self.now.year else f"{day:%Y-%m-%d}"


def seconds(value: float | None) -> str:
    """A duration as documents have it; nothing for None."""
    return "" if value is None else duration(round(value * 1_000_000))


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
        terminal.paragraph(self.screen, text, indent=indent, style=style)

    def raw(self, text: str) -> None:
        """Lines that must stay as they are (SQL, source, log lines), but for characters that steer
        terminals.
        """
        for line in clean_lines(text).split("\n"):
            self.screen.line(line)

    def log(self, lead: str, text: str, style: str) -> None:
        """One captured line behind when it was written; as long as it is, because people copy from
        it.
        """
        self.screen.line(self.screen.style(lead, "dim") + self.screen.style(clean(text), style))

    def table(
        self, columns: Sequence[ColumnLayout], rows: Sequence[Row], *, header: bool = True
    ) -> None:
        """A table that fits the screen; nothing where there are no rows."""
        if rows:
            terminal.table(self.screen, columns, rows, header=header)

    def head(self, *parts: str) -> None:
        """The page's first line: what it is about, and where the clock stands."""
        self.facts(*parts, self.reader.clock() if self._reader else "", style="bold")

    def facts(self, *parts: str, style: str = "") -> None:
        """Short facts on one line, `·` between them."""
        terminal.facts(self.screen, parts, style=style)

    def clock_note(self) -> None:
        """Names the zone of the times above, and the replay clock, on pages that have no head."""
        self.say(self.reader.clock(), "dim")

    def command(self, command: str, *, indent: int = 0) -> None:
        """A command to be typed, never broken, with the options that make it run from here."""
        self.screen.line(" " * indent + self._typed(command))

    def next(self, *commands: str | None) -> None:
        """The last line: what to type next, never broken, with the options that make it run from
        here.
        """
        typed_commands = [self._typed(command) for command in commands if command]
        if typed_commands:
            self.screen.line("next: " + "      then: ".join(typed_commands), "bold")

    def either(self, *commands: str) -> None:
        """The last line, where one of several commands is typed next."""
        self.screen.line(
            "next: " + "      or: ".join(self._typed(command) for command in commands), "bold"
        )

    def _typed(self, command: str) -> str:
        """A command with what it needs here; one that names its environment is about that one."""
        if command.startswith("git "):  # it has no options of ours, and runs where the project is
            project = _PROJECT.search(self._suffix)
            return clean(
                f"git -C {project[1]} {command.removeprefix('git ')}" if project else command
            )
        suffix = _ENVIRONMENT.sub("", self._suffix) if " --env " in command else self._suffix
        return clean(command) + suffix


# Each state is printed with its mark and its word. A colour alone never carries the meaning.

_STATES_BY_STYLE = {
    "good": ("✓", "served fresh published passed succeeded applied done resolved"),
    "bad": ("✗", "late wrong rejected failed lost stale open"),
    "warn": (
        "!",
        (
            "at_risk never unknown behind held warned partial withdrawn waived cancelled unchecked"
            " waiting missing recovering dropped"
        ),
    ),
    "": ("·", "nothing_due skipped queued running superseded nothing declined"),
}
_MARK_OF_STATE = {
    state: (mark, style)
    for style, (mark, states) in _STATES_BY_STYLE.items()
    for state in states.split()
}


def state_mark(state: str) -> str:
    """`✗ late`: the mark and the word, underscores as spaces."""
    symbol, _ = _MARK_OF_STATE.get(state, ("·", ""))
    return f"{symbol} {state.replace('_', ' ')}"


def state_cell(state: str) -> StyledCell:
    """The same, coloured."""
    return StyledCell(state_mark(state), _MARK_OF_STATE.get(state, ("·", ""))[1])


# Rows of data as a table. `null` is printed as such, to tell it from an empty string.

_NUMBER_TYPES = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)


def data_table(
    page: CommandOutput, columns: Sequence[ColumnRow], rows: Sequence[dict[str, Any]]
) -> None:
    """Prints rows below their columns' names; columns that don't fit are counted, not squeezed to
    nothing.
    """
    column_rows = columns[: _columns_that_fit(page)]
    layout = [
        ColumnLayout(column.name, right=column.type.startswith(_NUMBER_TYPES))
        for column in column_rows
    ]
    page.table(
        layout, [[_value_cell(row.get(column.name)) for column in column_rows] for row in rows]
    )
    if len(column_rows) < len(columns):
        page.say(
            f"and {len(columns) - len(column_rows)} more columns:"
            f" {', '.join(column.name for column in columns[len(column_rows) :])}",
            "dim",
            indent=2,
        )


def _columns_that_fit(page: CommandOutput) -> int:
    """How many columns of at least 8 characters fit."""
    return max(2, (page.screen.width - 2) // 10)


def _value_cell(value: Any) -> StyledCell | str:
    return StyledCell("null", "dim") if value is None else value_text(value)


def value_text(value: Any) -> str:
    """One value in its own words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
