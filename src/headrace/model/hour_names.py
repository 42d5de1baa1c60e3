"""Hours that a date without `%z` can't tell apart: clocks show them twice when they go back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from headrace.model.connectors import origin_field, request_dates
from headrace.model.errors import Problem, ProblemLevel, shown
from headrace.model.intervals import clocks_go_back, previous_key
from headrace.model.locations import DATE_PLACEHOLDER, directives_of
from headrace.model.nodes import Grain, PartitionSpec, Project, Source
from headrace.model.partitions import SEPARATOR, WHOLE

REPEATED = "two hours that have one name when clocks go back"


def hours_share_names(date_format: str, partition: PartitionSpec, timezone: str | None) -> bool:
    """Return whether a date in this format names two hours of each year alike."""
    letters = directives_of(date_format)
    return (
        partition.grain is Grain.HOUR
        and "H" in letters
        and "z" not in letters
        and clocks_go_back(timezone or "UTC")
    )


def hour_name_problems(project: Project) -> Iterator[Problem]:
    """Yield the sources whose files or requests don't tell the repeated hour apart.

    A file for it can be handed in, so it is a warning. A request would publish the same answer for
    both hours, which is an error.
    """
    for source in project.sources.values():
        yield from _of_files(source)
        yield from _of_requests(source)


def _of_files(source: Source) -> Iterator[Problem]:
    for date_format in DATE_PLACEHOLDER.findall(source.files or ""):
        if hours_share_names(date_format, source.partition, source.timezone):
            yield Problem(
                code="bad_path",
                message=f"`files` of {shown(source.name)} doesn't tell the {REPEATED}: a file is"
                " for the first of them, and the second waits",
                hint="put %z into the date: {date:%Y-%m-%dT%H%z}, or add timezone: UTC; else hand"
                f" it in each time: headrace receive {source.name} FILE --for HOUR --reason TEXT",
                place=source.place,
                level=ProblemLevel.WARNING,
            )


def _of_requests(source: Source) -> Iterator[Problem]:
    dates = request_dates(source) if source.partition.grain is Grain.HOUR else ()
    if dates and all(
        hours_share_names(date_format, source.partition, source.timezone) for date_format in dates
    ):
        yield Problem(
            code="bad_path",
            message=f"`{origin_field(source)}` of {shown(source.name)} doesn't tell the {REPEATED}:"
            " both would get the same answer",
            hint="put %z into the date: {date:%Y-%m-%dT%H%z}, or add timezone: UTC",
            place=source.place,
        )


def second_hour_reason(source: Source, timezone: str) -> str:
    """Return why nothing names the second of two hours with one name; empty if something can."""
    column = source.partition.column
    dates = DATE_PLACEHOLDER.findall(source.files or "")
    if column is not None:
        dates = dates or ["%Y-%m-%dT%H:%M"]
    if not any(hours_share_names(date, source.partition, timezone) for date in dates):
        return ""
    return "it is the second of two hours with one name" + (
        ", for which no file can be named. Put %z into the date of `files:`, or hand a file in"
        if column is None
        else f". Without an offset, times in `{column}` are in the first one"
    )


def is_second_hour(key: str, partition: PartitionSpec, timezone: str) -> bool:
    """Return whether a partition's interval is the second of two hours with one name."""
    if partition.grain is not Grain.HOUR or key == WHOLE:
        return False
    hour = key.partition(SEPARATOR)[0]
    before = previous_key(hour, Grain.HOUR, timezone)
    return datetime.fromisoformat(before).replace(tzinfo=None) == datetime.fromisoformat(
        hour
    ).replace(tzinfo=None)
