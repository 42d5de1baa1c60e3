"""Schedules of DAGs: which partitions they mean, and what releases them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from headrace_import.importers.airflow.utc_intervals import in_utc
from headrace_import.importers.airflow.values import (
    Dag,
    External,
    ExternalCall,
    Unknown,
    Value,
    text_of,
)

_PRESETS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_NUMBER = re.compile(r"\d+$")
_CRON = re.compile(r"[\d*,/\-A-Za-z#L?]+(\s+[\d*,/\-A-Za-z#L?]+){4}$")
_NAMED_DAYS = {"SUN": "0", "MON": "1"}
_NO_ZONE = "the time zone of its start_date has no name in the file"
_DELTAS = {
    dt.timedelta(hours=1): "hour",
    dt.timedelta(days=1): "day",
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a DAG runs.

    `grain` is the partition whose intervals are those of the schedule (empty if none is), and
    `aligned` says that they begin and end with the partition's, not some hours later. `cron` and
    `interval` are a trigger's values. `datasets` are the URIs that the DAG waits for.
    """

    text: str
    grain: str = ""
    aligned: bool = False
    cron: str = ""
    interval: str = ""
    kind: str = "none"
    """`cron`, `interval`, `datasets`, `once`, `none` (by hand or by another DAG), `unknown`."""
    datasets: tuple[str, ...] = ()
    timezone: str = ""
    catchup: bool = True
    start: dt.date | None = None
    """The date, in UTC, of the first interval's start."""
    end: str = ""
    """The `end_date`, as it is written."""
    zone_unknown: bool = False
    """Whether its times are in a time zone that isn't in the file."""
    reason: str = ""
    runs_at_start: bool = False
    """Airflow 3 runs a cron schedule with the time of the run as its date."""


def schedule_of(dag: Dag) -> Schedule:
    """Return when a DAG runs; a SubDAG runs with its parent."""
    while dag.parent is not None:
        dag = dag.parent
    given = _given(dag)
    base = _base(dag)
    if isinstance(given, Unknown):
        return _with(base, text="known only at run time", kind="unknown", reason=given.reason)
    if given is None or given in ("@continuous", "@once", "None"):
        kind = "once" if given == "@once" else "none"
        return _with(base, text=str(given), kind=kind)
    if isinstance(given, str):
        return _of_cron(base, given, dag)
    if isinstance(given, dt.timedelta):
        return _of_delta(base, given)
    return _of_object(base, given, dag)


def _with(base: Schedule, **changes: object) -> Schedule:
    fields = {name: getattr(base, name) for name in Schedule.__dataclass_fields__}
    return Schedule(**{**fields, **changes})


def _given(dag: Dag) -> Value:
    for name in ("schedule", "schedule_interval", "timetable"):
        if name in dag.kwargs:
            return dag.kwargs[name]
    return None if dag.version == 3 else dt.timedelta(days=1)


def _base(dag: Dag) -> Schedule:
    start = _time_of(dag, "start_date")
    catchup = dag.kwargs.get("catchup", dag.version == 2)
    zone = start.tzinfo if isinstance(start, dt.datetime) else None
    name = getattr(zone, "key", "")
    return Schedule(
        "",
        catchup=catchup is not False,
        start=start,
        end=_written(_time_of(dag, "end_date"), dag),
        timezone="" if name == "UTC" else name,
        zone_unknown=zone is not None and not name and zone is not dt.UTC,
    )


def _time_of(dag: Dag, name: str) -> dt.date | None:
    value = dag.kwargs.get(name, dag.default_args.get(name))
    value = _parsed_date(value) if isinstance(value, str) else value
    return value if isinstance(value, dt.date) else None


def _written(end: dt.date | None, dag: Dag) -> str:
    if end is None:
        given = dag.kwargs.get("end_date", dag.default_args.get("end_date"))
        return "" if given is None else "known only at run time"
    midnight = not isinstance(end, dt.datetime) or end.time() == dt.time(0)
    return str(end)[:10] if midnight else str(end)[:16]


def _parsed_date(text: str) -> dt.date | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


def _of_cron(base: Schedule, given: str, dag: Dag) -> Schedule:
    cron = _PRESETS.get(given.strip(), given.strip())
    if not _CRON.match(cron):
        return _with(base, text=given, kind="unknown", reason=f"its schedule `{given[:40]}`")
    grain, aligned = _cron_grain(cron)
    if base.zone_unknown:
        return _with(base, text=given, kind="unknown", reason=_NO_ZONE)
    utc_grain, start = in_utc(cron, grain, base.timezone, base.start)
    return _with(
        base,
        text=f"{given} in {base.timezone}" if base.timezone else given,
        kind="cron",
        cron=cron,
        grain=utc_grain,
        start=start,
        aligned=aligned and (not base.timezone or grain == "hour"),
        runs_at_start=dag.version == 3,
    )


def _cron_grain(cron: str) -> tuple[str, bool]:
    """The grain whose intervals lie between two times of a cron expression."""
    minute, hour, day, month, weekday = cron.split()
    weekday = _NAMED_DAYS.get(weekday.upper(), weekday)
    if not _NUMBER.match(minute):
        return "", False
    at_zero = minute == "0"
    if (hour, day, month, weekday) == ("*", "*", "*", "*"):
        return "hour", at_zero
    if not _NUMBER.match(hour):
        return "", False
    midnight = at_zero and hour == "0"
    table = {
        ("*", "*", "*"): "day",
        ("*", "*", "1"): "week",
        ("1", "*", "*"): "month",
        ("1", "*/3", "*"): "quarter",
        ("1", "1,4,7,10", "*"): "quarter",
        ("1", "1", "*"): "year",
    }
    return table.get((day, month, weekday), ""), midnight


def _of_delta(base: Schedule, given: dt.timedelta) -> Schedule:
    grain = _DELTAS.get(given, "")
    seconds = int(given.total_seconds())
    if seconds < 60:
        return _with(base, text=str(given), kind="unknown", reason=f"its interval {given}")
    if base.zone_unknown:
        return _with(base, text=str(given), kind="unknown", reason=_NO_ZONE)
    start, aligned = base.start, True
    if isinstance(start, dt.datetime):
        start = start.astimezone(dt.UTC) if start.tzinfo is not None else start
        aligned = start.minute == 0 and (grain == "hour" or start.hour == 0)
    interval = duration(given)
    return _with(
        base, text=f"every {interval}", kind="interval", interval=interval, grain=grain,
        aligned=aligned and bool(grain), start=start, timezone="",
    )  # fmt: skip


def _of_object(base: Schedule, given: Value, dag: Dag) -> Schedule:
    uris = dataset_uris(given)
    if uris:
        either = isinstance(given, ExternalCall) and "Any" in given.last
        reason = "it waits for any of several datasets" if either else ""
        return _with(base, text="datasets", kind="datasets", datasets=uris, reason=reason)
    if isinstance(given, ExternalCall):
        return _of_timetable(base, given, dag)
    return _with(base, text="a timetable", kind="unknown", reason="its own timetable")


def _of_timetable(base: Schedule, given: ExternalCall, dag: Dag) -> Schedule:
    first = given.argument("cron", 0)
    zone = given.argument("timezone", 1)
    if given.last in ("CronDataIntervalTimetable", "CronTriggerTimetable") and isinstance(
        first, str
    ):
        known = isinstance(zone, str)
        base = _with(
            base,
            timezone=zone if known and zone != "UTC" else "",
            zone_unknown=not known and not _is_utc(zone),
        )
        schedule = _of_cron(base, first, dag)
        return _with(schedule, runs_at_start=given.last == "CronTriggerTimetable")
    delta = given.argument("delta", 0)
    if given.last in ("DeltaDataIntervalTimetable", "relativedelta") and isinstance(
        delta, dt.timedelta
    ):
        return _of_delta(base, delta)
    return _with(base, text=given.last, kind="unknown", reason=f"its timetable `{given.last}`")


def _is_utc(zone: Value) -> bool:
    return zone is None or (isinstance(zone, External) and zone.last.lower() == "utc")


def dataset_uris(value: Value) -> tuple[str, ...]:
    """Return the names of datasets (assets) in an argument."""
    if isinstance(value, list | tuple | set):
        return tuple(uri for item in value for uri in dataset_uris(item))
    if not isinstance(value, ExternalCall):
        return ()
    if value.last in ("Dataset", "Asset", "DatasetAlias", "AssetAlias"):
        return (text_of(value.argument("uri", 0) or value.argument("name", 0)) or "*",)
    return dataset_uris(list(value.args))


def duration(value: dt.timedelta) -> str:
    """A duration as Headrace writes it: `90m`, `36h`, `2d`."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 1)}s"
