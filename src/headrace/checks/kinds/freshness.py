"""The check kind `freshness`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from headrace.checks.check_kinds import (
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckKind,
    CheckSubject,
    CheckUnusable,
    same_column,
    scope,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_column
from headrace.model.fields import Fields
from headrace.model.intervals import EPOCH, from_us, local_us, to_us
from headrace.model.texts import marked
from headrace.model.times import MAX_AHEAD, Duration, duration, parse_duration


class Freshness(CheckKind):
    """`freshness: {column: time_hour, max_age: 2d}`: the newest value is at most `max_age` old, and
    at most `max_ahead` (default: `1d`) in the future.

    Age is measured at the end of the partition's interval, or now if that is earlier, so that
    last year's partition can be recomputed. A date counts from its first instant. A time without
    a zone is local.
    """

    name = "freshness"
    fields = ("column", "max_age", "max_ahead")
    example = "freshness: {column: time_hour, max_age: 2d}"
    cause = "stale_data"
    of_single_rows = False
    reads_only_rows = True

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the column and the durations."""
        column, max_age = read_column(fields), fields.duration("max_age", "")
        if "max_age" not in fields:
            fields.required("max_age", "write max_age: 2d")
        if not column or not max_age:
            return None
        arguments = {"column": column, "max_age": max_age}
        if "max_ahead" in fields:
            arguments["max_ahead"] = fields.duration("max_ahead", MAX_AHEAD)
        return arguments

    def measure(self, check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
        """Find the newest value in the audit's scan and compare it with both durations."""
        column = subject.column(check.arguments["column"])
        max_age = check.arguments["max_age"]
        max_ahead = check.arguments.get("max_ahead", MAX_AHEAD)
        zoned = _zoned(column, subject.columns[column])
        newest = f"max({quote(column)}) FILTER (WHERE isfinite({quote(column)}) AND {scope(check)})"

        def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
            counted, newest_us, infinite = int(values[0]), values[1], int(values[2])
            if infinite:
                detail = (
                    f"{column}: newest is {marked('infinity')}; at most {max_ahead} in the future"
                    " is allowed"
                )
                return CheckFinding(counted, infinite, detail)
            if newest_us is None:
                return CheckFinding(
                    counted,
                    counted,
                    f"{column}: no value, so its age is unknown" if counted else "",
                )
            at = _instant(int(newest_us), zoned, subject.timezone)
            ahead = timedelta(microseconds=to_us(at) - part.now_us)
            if ahead > parse_duration(max_ahead):
                return CheckFinding(
                    counted, 1, _beyond(column, at, ahead, "in the future", "max_ahead", max_ahead)
                )
            age = timedelta(microseconds=part.as_of_us - to_us(at))
            return (
                CheckFinding(counted)
                if age <= parse_duration(max_age)
                else CheckFinding(counted, 1, _beyond(column, at, age, "old", "max_age", max_age))
            )

        return AggregateCheck(
            judge,
            (
                f"count(*) FILTER (WHERE {scope(check)})",
                f"epoch_us({newest}{'' if zoned else '::TIMESTAMP'})",
                f"count(*) FILTER (WHERE {quote(column)} = 'infinity' AND {scope(check)})",
            ),
        )

    def looser(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Return whether values may be older, or lie further in the future."""
        return _length_us(after["max_age"]) > _length_us(before["max_age"]) or _ahead_us(
            after
        ) > _ahead_us(before)

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether the other check of the column allows no more."""
        return same_column(arguments, by) and not self.looser(arguments, by)


def _ahead_us(arguments: Mapping[str, Any]) -> int:
    return _length_us(arguments.get("max_ahead", MAX_AHEAD))


def _length_us(text: str) -> int:
    return Duration.parse(text).after_us(0, "UTC")


def _beyond(column: str, at: datetime, span: timedelta, which: str, field: str, limit: str) -> str:
    # The age is a part of the value: it gives the value away to somebody who may not read rows.
    newest = marked(f"{at.isoformat(sep=' ')}, {_duration(span)} {which}")
    return f"{column}: newest is {newest}; at most {limit} is allowed (`{field}`)"


def _duration(span: timedelta) -> str:
    if (years := round(span.days / 365.25)) > 1:
        return f"about {years} years"
    return duration(span // timedelta(microseconds=1))


def _zoned(column: str, column_type: str) -> bool:
    if column_type == "TIMESTAMP WITH TIME ZONE":
        return True
    if column_type == "DATE" or column_type.startswith("TIMESTAMP"):
        return False
    raise CheckUnusable(
        f"column `{column}` is {column_type}, freshness needs a DATE or TIMESTAMP",
        hint="cast it in the body",
    )


def _instant(microseconds: int, zoned: bool, timezone: str) -> datetime:
    if zoned:
        return from_us(microseconds, timezone)
    wall = EPOCH + timedelta(microseconds=microseconds)
    return from_us(local_us(wall.date(), wall.time(), timezone), timezone)
