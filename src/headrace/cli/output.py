"""The output of commands for people: lines, tables, times in one zone, and the next command."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from headrace.cli import terminal
from headrace.cli.terminal import ColumnLayout, Row, Screen, StyledCell, clean, clean_lines, plural
from headrace.installed_commands import missing_command
from headrace.model.times import duration
from headrace.responses import ColumnRow, Response

# Times are printed in one time zone, with a date unless it is today's.

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class TimeFormatter(NamedTuple):
    """The current time and zone, with which times are formatted."""

    now: datetime
    zone: tzinfo
    zone_name: str
    replay: bool

    @classmethod
    def at(cls, now: datetime, timezone: str, *, replay: bool, utc: bool = False) -> TimeFormatter:
        """Return the formatter for a project's zone, or for UTC."""
        name = "UTC" if utc else timezone
        zone = ZoneInfo(name)
        return cls(now.astimezone(zone), zone, name, replay)

    def clock(self) -> str:
        """Return the current time: `Thu 2013-02-14 07:20 America/New_York (replay clock)`."""
        text = " (replay clock)" if self.replay else ""
        return f"{self.now:%a %Y-%m-%d %H:%M} {self.zone_name}{text}"

    def time_text(self, at: datetime | None) -> str:
        """Return a time as text; empty for None.

        `07:00` today, `Tue 02-12 07:00` in this year, `2012-12-31 07:00` in other years.
        """
        if at is None:
            return ""
        local = at.astimezone(self.zone)
        return f"{self._day(local.date())} {local:%H:%M}".lstrip()

    def second(self, at: datetime) -> str:
        """Return a time as `time_text` does, with seconds."""
        local = at.astimezone(self.zone)
        return f"{self._day(local.date())} {local:%H:%M:%S}".lstrip()

    def partition(self, key: str | None) -> str:
        """Return a partition key as text.

        A day gets its weekday (`Sun 02-10`), other keys stay unchanged, None is `–`.
        """
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


def seconds(value: float | None, longest: float = 0) -> str:
    """Return a duration in seconds as text (`4 min`); empty for None.

    `longest` is the longest duration in its column.
    """
    return "" if value is None else duration(round(value * 1_000_000), round(longest * 1_000_000))


_ENVIRONMENT = re.compile(r" --env \S+")
_PROJECT = re.compile(r" --project ('(?:[^']|'\"'\"')*'|\S+)")
"""The project's folder in a command, quoted for a shell."""


class CommandOutput:
    """The output of one command. It escapes control characters in text from users and data."""

    def __init__(
        self,
        screen: Screen,
        times: TimeFormatter | None,
        suffix: str = "",
        needed_role: Callable[[str], str] = lambda _: "",
    ) -> None:
        """`needed_role` returns the role that the reader lacks for a command, or an empty text."""
        self.screen = screen
        self._times = times
        self._suffix = suffix
        self._needed_role = needed_role

    @property
    def times(self) -> TimeFormatter:
        """The time formatter. Raises RuntimeError for commands without a project."""
        if self._times is None:
            raise RuntimeError("this command has no clock")
        return self._times

    def say(self, text: str = "", style: str = "", *, indent: int = 0) -> None:
        """Print a paragraph, wrapped between words."""
        terminal.paragraph(self.screen, text, indent=indent, style=style)

    def rest(
        self,
        hidden: int,
        what: str = "more",
        *,
        then: str = "",
        style: str = "",
        indent: int = 2,
    ) -> None:
        """Say how many more there are than were printed; nothing if there are none."""
        if hidden > 0:
            count = f"{hidden:,} more" if what == "more" else plural(hidden, what)
            self.say(f"and {count}{then}", style, indent=indent)

    def raw(self, text: str) -> None:
        """Print lines unwrapped (SQL, source code, log lines), with control characters escaped."""
        for line in clean_lines(text).split("\n"):
            self.screen.line(line)

    def log(self, lead: str, text: str, style: str) -> None:
        """Print a captured line after its time; it isn't cut, because people copy from it."""
        self.screen.line(self.screen.style(lead, "dim") + self.screen.style(clean(text), style))

    def table(
        self, columns: Sequence[ColumnLayout], rows: Sequence[Row], *, header: bool = True
    ) -> None:
        """Print a table that fits the screen; nothing if there are no rows."""
        if rows:
            terminal.table(self.screen, columns, rows, header=header)

    def head(self, *parts: str) -> None:
        """Print the first line: the subject, and the current time if there is a clock."""
        self.facts(*parts, self.times.clock() if self._times else "", style="bold")

    def facts(self, *parts: str, style: str = "") -> None:
        """Print short facts on one line, separated by `·`."""
        terminal.facts(self.screen, parts, style=style)

    def clock_note(self) -> None:
        """Print the current time and its zone, for output without a head."""
        self.say(self.times.clock(), "dim")

    def command(self, command: str | None, *, indent: int = 0) -> None:
        """Print a command on one line, with the options that it needs in this folder.

        A shell's comment says which role it needs, if the reader hasn't got that role. None is
        skipped.
        """
        if command is None:
            return
        role = self._needed_role(command)
        note = f"  # for {role}" if role else ""
        self.screen.line(" " * indent + self._typed(command) + note)

    def next(self, *commands: str | None) -> None:
        """Print the last line: the next commands, in order. None is skipped.

        The list ends before the first command that the reader's roles don't include, or whose
        package isn't installed.
        """
        offered = itertools.takewhile(self._is_offered, filter(None, commands))
        typed_commands = [self._typed(command) for command in offered]
        if typed_commands:
            self.screen.line("next: " + "      then: ".join(typed_commands), "bold")

    def either(self, *commands: str) -> None:
        """Print the last line with alternative commands that the reader can run."""
        offered = [self._typed(command) for command in filter(self._is_offered, commands)]
        if offered:
            self.screen.line("next: " + "      or: ".join(offered), "bold")

    def _is_offered(self, command: str) -> bool:
        return not self._needed_role(command) and not missing_command(command.split()[1:])

    def _typed(self, command: str) -> str:
        """Return a command with the options that it needs in this folder.

        A command with its own --env keeps it; `git` gets the project's folder as -C.
        """
        if command.startswith("git "):  # git has no --project, and runs in the project's folder
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
    """Return a state's mark and name, with spaces for underscores: `✗ late`."""
    symbol, _ = _MARK_OF_STATE.get(state, ("·", ""))
    return f"{symbol} {state.replace('_', ' ')}"


def state_cell(state: str) -> StyledCell:
    """Return `state_mark` as a coloured cell."""
    return StyledCell(state_mark(state), _MARK_OF_STATE.get(state, ("·", ""))[1])


def published_cell(state: str, verdicts: Sequence[str | None]) -> StyledCell:
    """Return the state of an attempt with these verdicts of its partitions as a coloured cell.

    If some of several are warned, it says how many.
    """
    warned = verdicts.count("warned")
    if not warned or state != "published":
        return state_cell(state)
    cell = state_cell("warned")
    of_all = "" if warned == len(verdicts) else f": {warned} of {len(verdicts)}"
    return StyledCell(f"{cell.text}{of_all}", cell.style)


# Rows of data as a table. `null` is printed as such, to distinguish it from an empty string.

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
    """Print rows below their column names.

    Columns that don't fit the screen are listed below the table.
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
    """Return how many columns of 8 characters fit the screen, at least 2."""
    return max(2, (page.screen.width - 2) // 10)


def _value_cell(value: Any) -> StyledCell | str:
    return StyledCell("null", "dim") if value is None else value_text(value)


def values_text(row: dict[str, Any]) -> str:
    """Return the cells of a row as text: `name=value`."""
    return "  ".join(f"{name}={value_text(value)}" for name, value in row.items())


def value_text(value: Any) -> str:
    """Return a value as text: `null`, `true`, `false`, JSON for lists and objects."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def render_plainly(response: Response | Sequence[Response], page: CommandOutput) -> None:
    """Print a response, or a list of them, as a table of its fields."""
    rows = [response] if isinstance(response, Response) else response
    names = rows[0].__struct_fields__ if rows else ()
    page.table(
        [ColumnLayout(name.replace("_", " ")) for name in names],
        [[value_text(getattr(row, name)) for name in names] for row in rows],
    )
