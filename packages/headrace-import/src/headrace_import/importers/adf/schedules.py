"""Triggers: when a pipeline runs, with which parameters, and how its time is cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headrace_import.importers.adf import dates
from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.origin import Origin, Resource
from headrace_import.importers.adf.reading import list_of, object_of, objects_of, text_at
from headrace_import.importers.adf.time_zones import iana_zone

_WEEK = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DAY_MINUTES, _HOUR_MINUTES = 1440, 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a pipeline runs. `partition` and `cron` are empty where there are none.

    `todo` says what of the trigger isn't carried. `parameters` are what the trigger passes.
    """

    trigger: str = ""
    file: str = ""
    partition: str = ""
    start: str = ""
    cron: str = ""
    interval: str = ""
    timezone: str = ""
    catch_up: str = ""
    arrival: str = ""
    stopped: bool = False
    todo: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    concurrency: int = 0
    is_window: bool = False


def schedules(origin: Origin) -> Mapping[int, list[Schedule]]:
    """Return the schedules of pipelines, by the identity of their resources."""
    found: dict[int, list[Schedule]] = {}
    for trigger in origin.of_kind("trigger"):
        for reference in _pipelines(trigger):
            name = text_at(reference, "pipelineReference", "referenceName")
            pipeline = origin.find("pipeline", name, trigger.factory)
            if pipeline is not None:
                schedule = _schedule(trigger, object_of(reference, "parameters"))
                found.setdefault(id(pipeline), []).append(schedule)
    return found


def _pipelines(trigger: Resource) -> list[JsonObject]:
    single = trigger.raw.get("pipeline")
    listed = objects_of(trigger.raw, "pipelines")
    return [single, *listed] if isinstance(single, JsonObject) else listed


def _schedule(trigger: Resource, parameters: Mapping[str, Any]) -> Schedule:
    settings = object_of(trigger.raw, "typeProperties")
    kind = text_at(trigger.raw, "type")
    common: dict[str, Any] = {
        "trigger": trigger.name,
        "file": trigger.file,
        "parameters": parameters,
        "stopped": text_at(trigger.raw, "runtimeState").lower() == "stopped",
    }
    if kind == "ScheduleTrigger":
        return Schedule(**common, **_recurrence(object_of(settings, "recurrence")))
    if kind == "TumblingWindowTrigger":
        return Schedule(**common, **_tumbling(settings))
    if kind == "BlobEventsTrigger":
        return Schedule(**common, **_blob_events(settings))
    if kind in ("CustomEventsTrigger", "CustomEventTrigger"):
        todo = "it waits for custom events: let their sender call the asset's webhook"
        return Schedule(**common, arrival="webhook", todo=todo)
    return Schedule(**common, todo=f"triggers of the type `{kind}` aren't carried")


def _whole(value: Any, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _instant(value: str) -> datetime | None:
    try:
        return dates.instant(value)
    except ValueError:
        return None


def _recurrence(recurrence: JsonObject) -> dict[str, Any]:
    frequency, every = text_at(recurrence, "frequency"), _whole(recurrence.get("interval"), 1)
    begin = _instant(text_at(recurrence, "startTime"))
    zone = iana_zone(text_at(recurrence, "timeZone") or "UTC")
    if zone is None:
        return {"todo": f"the time zone `{text_at(recurrence, 'timeZone')}` isn't known"}
    cron = _cron(frequency, every, begin, object_of(recurrence, "schedule"))
    if cron is None:
        return {"todo": f"a recurrence every {every} {frequency.lower()}s has no cron expression"}
    result: dict[str, Any] = {"cron": cron, "catch_up": "latest"}
    if zone != "UTC":
        result["timezone"] = zone
    if grain := _grain(cron):
        result["partition"] = grain
        if begin is not None:
            result["start"] = _start(begin, grain)
    if text_at(recurrence, "endTime"):
        result["todo"] = f"it ends at {text_at(recurrence, 'endTime')}: remove the trigger then"
    return result


def _cron(frequency: str, every: int, begin: datetime | None, schedule: JsonObject) -> str | None:
    minute, hour = (begin.minute, begin.hour) if begin else (0, 0)
    minutes = _numbers(list_of(schedule, "minutes"), 59)
    hours = _numbers(list_of(schedule, "hours"), 23)
    if objects_of(schedule, "monthlyOccurrences"):
        return None
    if frequency == "Minute":
        return _each_minutes(minute, every)
    if frequency == "Hour" and not minutes:
        return _hourly(minute, every, hour)
    if every != 1:
        return None
    if frequency == "Hour":
        return f"{minutes} * * * *"
    at = f"{minutes or (0 if hours else minute)} {hours or hour}"
    if frequency == "Week":
        return _weekly(at, list_of(schedule, "weekDays"), begin)
    if frequency == "Month":
        return _monthly(at, list_of(schedule, "monthDays"), begin)
    return f"{at} * * *" if frequency == "Day" else None


def _each_minutes(minute: int, every: int) -> str | None:
    if every < 1:
        return None
    if every % _HOUR_MINUTES == 0:
        return _hourly(minute, every // _HOUR_MINUTES)
    if _HOUR_MINUTES % every:
        return None
    return "* * * * *" if every == 1 else f"{_steps(minute % every, every, 59)} * * * *"


def _weekly(at: str, days: list[Any], begin: datetime | None) -> str | None:
    names = [str(day).lower() for day in days]
    if not names and begin is not None:
        names = [_WEEK[begin.isoweekday() % 7]]
    if not names or any(name not in _WEEK for name in names):
        return None
    return f"{at} * * {','.join(str(number) for number in sorted(map(_WEEK.index, names)))}"


def _monthly(at: str, days: list[Any], begin: datetime | None) -> str | None:
    given = days or ([begin.day] if begin is not None else [])
    listed = _numbers(given, 31)
    return f"{at} {listed} * *" if listed and "0" not in listed.split(",") else None


def _hourly(minute: int, every: int, hour: int = 0) -> str | None:
    if not 0 < every <= 24 or 24 % every:
        return None
    hours = "*" if every == 1 else _steps(hour % every, every, 23)
    return f"{minute} {hours} * * *"


def _steps(first: int, every: int, last: int) -> str:
    return ",".join(str(number) for number in range(first, last + 1, every))


def _numbers(values: list[Any], highest: int) -> str:
    numbers = sorted({v for v in values if isinstance(v, int) and 0 <= v <= highest})
    return ",".join(map(str, numbers)) if len(numbers) == len(set(map(str, values))) else ""


def _grain(cron: str) -> str:
    """Return the grain of intervals that each have exactly one firing; empty if there is none."""
    minute, hour, day, _, weekday = cron.split()
    if not minute.isdigit():
        return ""
    if hour == "*":
        return "hour" if day == weekday == "*" else ""
    if not hour.isdigit():
        return ""
    if day == weekday == "*":
        return "day"
    if day == "*" and weekday.isdigit():
        return "week"
    return "month" if weekday == "*" and day.isdigit() and int(day) <= 28 else ""


def _start(begin: datetime, grain: str) -> str:
    if grain == "month":
        return f"{begin:%Y-%m}"
    if grain == "week":
        return f"{begin:%G-W%V}"
    if grain == "hour":
        return f"{begin:%Y-%m-%dT%H}:00+00:00"
    return f"{begin:%Y-%m-%d}"


def _tumbling(settings: JsonObject) -> dict[str, Any]:
    frequency, every = text_at(settings, "frequency"), _whole(settings.get("interval"), 1)
    begin = _instant(text_at(settings, "startTime"))
    minutes = {"Minute": 1, "Hour": _HOUR_MINUTES, "Day": _DAY_MINUTES}.get(frequency, 0) * every
    grain = {_HOUR_MINUTES: "hour", _DAY_MINUTES: "day", 7 * _DAY_MINUTES: "week"}.get(minutes, "")
    if frequency == "Month" and every == 1:
        grain = "month"
    result: dict[str, Any] = {"is_window": True}
    if not grain or not _begins(begin, grain):
        window = f"windows of {every} {frequency.lower()}s from {text_at(settings, 'startTime')}"
        return {**result, **_repeated(minutes), "todo": f"{window} aren't hours, days or months"}
    assert begin is not None
    result |= {"partition": grain, "start": _start(begin, grain), "catch_up": "all"}
    delay = _minutes(text_at(settings, "delay"))
    result["cron"] = _delayed(grain, delay)
    if not result["cron"]:
        result["todo"] = f"its delay of {text_at(settings, 'delay')} isn't carried"
    result["concurrency"] = min(_whole(settings.get("maxConcurrency")), 100_000)
    dependencies = objects_of(settings, "dependsOn")
    result["after"] = tuple(
        text_at(dependency, "referenceTrigger", "referenceName") for dependency in dependencies
    )
    if any(dependency.get("offset") or dependency.get("size") for dependency in dependencies):
        result["todo"] = "it depends on other windows by offset and size: say so with `previous`"
    retries = _whole(object_of(settings, "retryPolicy").get("count"))
    if retries > 0:
        note = f"it repeats failed windows {retries} times (`retryPolicy`): set `attempts_max:`"
        result["todo"] = f"{result['todo']}; {note}" if result.get("todo") else note
    return result


def _repeated(minutes: int) -> dict[str, str]:
    return {"interval": f"{minutes}m"} if 0 < minutes <= _DAY_MINUTES else {}


def _begins(begin: datetime | None, grain: str) -> bool:
    """Whether windows from a point in time on are the intervals of the calendar in UTC."""
    if begin is None or begin.minute or begin.second:
        return False
    if grain == "hour":
        return True
    first = {"week": begin.isoweekday() == 1, "month": begin.day == 1}.get(grain, True)
    return begin.hour == 0 and first


def _minutes(delay: str) -> int:
    days, _, clock = delay.rpartition(".")
    parts = clock.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in (*parts, days or "0")):
        return 0
    return (int(days or 0) * 24 + int(parts[0])) * 60 + int(parts[1])


def _delayed(grain: str, delay: int) -> str:
    """Return the cron expression that fires `delay` minutes after each window; empty for 0."""
    if grain == "hour" and 0 < delay < _HOUR_MINUTES:
        return f"{delay} * * * *"
    if grain == "day" and 0 < delay < _DAY_MINUTES:
        return f"{delay % 60} {delay // 60} * * *"
    return ""


def _blob_events(settings: JsonObject) -> dict[str, Any]:
    begins = text_at(settings, "blobPathBeginsWith").strip("/")
    ends = text_at(settings, "blobPathEndsWith").strip("/")
    container, separator, folder = begins.partition("/blobs/")
    todo = f"it starts when a file `{begins}…{ends}` arrives: say which part of its name is a date"
    arrival = f"{container}/{folder}" if separator else begins
    return {"arrival": arrival, "todo": todo}
