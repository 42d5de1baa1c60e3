"""Sensors that wait for a file, as sources with the file's path."""

from __future__ import annotations

import datetime as dt
import re

from headrace_import.importers.airflow.naming import cleaned
from headrace_import.importers.airflow.schedules import Schedule
from headrace_import.importers.airflow.templates import Context, Instant, Setting, parse
from headrace_import.importers.airflow.values import Task, Value, dag_params

_READ = re.compile(r"\.(csv|tsv|parquet|json|jsonl|ndjson|xlsx|xml)(\.gz)?$", re.IGNORECASE)
_REFUSED = re.compile(r"[?\[\]{}\\]|\*\*|\.\.|//")
_ARGUMENTS = {
    "FileSensor": ("", "", "filepath"),
    "S3KeySensor": ("s3", "bucket_name", "bucket_key"),
    "S3KeySensorAsync": ("s3", "bucket_name", "bucket_key"),
    "GCSObjectExistenceSensor": ("gs", "bucket", "object"),
    "GCSObjectExistenceSensorAsync": ("gs", "bucket", "object"),
    "GoogleCloudStorageObjectSensor": ("gs", "bucket", "object"),
}
LANDING = "landing"


class NotASource(Exception):
    """Why the files that a sensor waits for aren't a source, in words."""


def is_file_sensor(task: Task) -> bool:
    """Whether a task waits for a file whose path it names."""
    return task.base in _ARGUMENTS and task.argument("soft_fail") is not True


def awaited_files(task: Task, schedule: Schedule) -> tuple[str, str, str]:
    """Return name, path pattern and a remark of the source that a sensor waits for.

    Raises `NotASource` for files that a source can't be.
    """
    scheme, bucket_name, path_name = _ARGUMENTS[task.base]
    path = _pattern(task.kwargs.get(path_name), task, schedule)
    given_bucket = task.kwargs.get(bucket_name) if bucket_name else None
    bucket = _pattern(given_bucket, task, schedule) if given_bucket is not None else ""
    if "*" in path and not task.kwargs.get("wildcard_match") and scheme == "s3":
        raise NotASource("its path has a `*` that isn't a wildcard")
    pattern, remark = _place(scheme, bucket, path)
    if not _READ.search(pattern):
        raise NotASource("its path doesn't end in a format that Headrace reads (.csv, .parquet, …)")
    stem = re.sub(r"\{date:[^}]*\}", "", path.rpartition("/")[2]).partition(".")[0]
    stem = stem.replace("*", "")
    folder = re.sub(r"\{date:[^}]*\}", "", path.rpartition("/")[0])
    return cleaned(stem or folder or task.task_id), pattern, remark


def _place(scheme: str, bucket: str, path: str) -> tuple[str, str]:
    """The path of a source, and a remark."""
    address, separator, rest = path.partition("://")
    if _REFUSED.search(_bare(f"{bucket}/{rest or path}".replace("//", "/"))):
        raise NotASource("its path has a wildcard or a part that a source's path can't have")
    if scheme and separator:
        if address != scheme:
            raise NotASource(f"its path is one of {address}, not of {scheme}")
        return path, ""
    if scheme:
        if not bucket:
            raise NotASource("its bucket isn't in the file")
        return f"{scheme}://{bucket.strip('/')}/{path.lstrip('/')}", ""
    if separator or not path.startswith("/"):
        raise NotASource("its path is relative to a folder that a connection of Airflow names")
    first = path.split("/")[1]
    return f"{LANDING}{path}", f"link {LANDING}/{first} in the new project to /{first}"


def _bare(path: str) -> str:
    return re.sub(r"\{date:[^}]*\}", "x", path)


def _pattern(value: Value, task: Task, schedule: Schedule) -> str:
    """A path with `{date:…}` in the place of the interval's start. Raises `NotASource`."""
    if not isinstance(value, str):
        raise NotASource("its path is known only at run time")
    dag_id = task.dag.dag_id if task.dag is not None else ""
    parts: list[str] = []
    dates = 0
    for piece in parse(value, Context(dag_params(task), dag_id, task.task_id)).pieces:
        if isinstance(piece, str):
            parts.append(piece)
        elif isinstance(piece, Setting) and piece.kind == "param":
            parts.append(str(piece.default))
        elif isinstance(piece, Instant) and _is_start(piece, schedule):
            parts.append(f"{{date:{piece.pattern}}}")
            dates += 1
        else:
            raise NotASource(_refusal(piece, schedule))
    if dates > 1:
        raise NotASource("its path has several dates")
    return "".join(parts)


def _refusal(piece: object, schedule: Schedule) -> str:
    if not isinstance(piece, Instant):
        return "a part of its path is known only when Airflow runs it"
    if schedule.grain == "hour" and piece == Instant(pattern=piece.pattern):
        return (
            "its path has no hour, and its schedule is hourly: all runs of a day wait for one file,"
            " and a source partitioned by hour has a file for each"
        )
    if schedule.grain:
        return f"the date in its path isn't that of the {schedule.grain} that it runs for"
    return f"its path has a date, and its schedule ({schedule.text}) is no day, month or year"


def _is_start(piece: Instant, schedule: Schedule) -> bool:
    plain = not piece.end and not piece.intervals and piece.offset == dt.timedelta(0)
    days = schedule.grain in ("day", "month", "year") and re.fullmatch(
        r"(%[Ymd]|[-_/.])+", piece.pattern
    )
    complete = {"day": "%d", "month": "%m", "year": "%Y"}.get(schedule.grain, "?")
    return plain and bool(days) and complete in piece.pattern
