"""`calendars/*.yaml`: dates on which no data is due."""

from __future__ import annotations

from datetime import date
from typing import Any

from headrace.model.assets import name_of_file
from headrace.model.documents import Items, LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.names import check_owner
from headrace.model.nodes import Calendar
from headrace.model.reporting import Report, shown

DATES_MAX = 50_000
_EXAMPLE = "write dates: [2013-01-01, 2013-12-25]"


def read_calendar(document: object, report: Report) -> tuple[Calendar, ...]:
    """The calendar of a file: a list of dates, or `{calendar: name, dates: […]}`. It is called like its file unless it says otherwise."""
    name, written, line = name_of_file(report), document, 1
    if isinstance(document, LocatedMapping):
        fields = Fields(document, report, ("calendar", "description", "dates"), what="a calendar")
        name = (fields.text("calendar") if "calendar" in fields else None) or name
        if "description" in fields:
            fields.text("description")
        written, line = fields.raw("dates"), fields.line("dates")
    if not check_owner(name, line, report):
        return ()
    if not isinstance(written, list):
        report.error("wrong_type", line, f"a calendar must be a list of dates, not {kind_of(written)}", _EXAMPLE)
        return ()
    if len(written) > DATES_MAX:
        report.error("wrong_value", line, f"{len(written):,} dates are too many", f"at most {DATES_MAX:,}")
        return ()
    dates = {day for index, item in enumerate(written) if (day := _date(item, _line(written, index, line), report)) is not None}
    return (Calendar(name=name, dates=tuple(sorted(dates)), place=report.place(line)),)


def _line(items: list[Any], index: int, line: int) -> int:
    return items.lines[index] if isinstance(items, Items) else line


def _date(item: object, line: int, report: Report) -> str | None:
    try:
        if isinstance(item, str):
            return date.fromisoformat(item.strip()).isoformat()
        reason = f"not {kind_of(item)}"
    except ValueError as error:
        reason = f"not {shown(item)} ({error})"
    report.error("wrong_value", line, f"a calendar holds dates, {reason}", _EXAMPLE)
    return None
