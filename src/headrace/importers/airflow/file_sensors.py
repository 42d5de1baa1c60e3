"""Sensors that wait for a file, as sources with the file's path."""

from __future__ import annotations

import datetime as dt
import re

from headrace.importers.airflow.naming import cleaned
from headrace.importers.airflow.schedules import Schedule
from headrace.importers.airflow.templates import Context, Instant, Setting, parse
from headrace.importers.airflow.values import Task, Value, dag_params

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


def awaited_files(task: Task, schedule: Schedule) -> tuple[str, str, str] | None:
    """Return name, path pattern and a remark of the source that a sensor waits for.

    None if the sensor waits for something else, or for files that Headrace doesn't read.
    """
    arguments = _ARGUMENTS.get(task.base)
    if arguments is None or task.argument("soft_fail") is True:
        return None
    scheme, bucket_name, path_name = arguments
    path = _pattern(task.kwargs.get(path_name), task, schedule)
    bucket = _pattern(task.kwargs.get(bucket_name), task, schedule) if bucket_name else ""
    if path is None or (task.kwargs.get(bucket_name) is not None and bucket is None):
        return None
    wildcards = "*" in path and not task.kwargs.get("wildcard_match") and scheme == "s3"
    place = _place(scheme, bucket or "", path)
    if place is None or wildcards or not _READ.search(place[0]):
        return None
    stem = re.sub(r"\{date:[^}]*\}", "", path.rpartition("/")[2]).partition(".")[0]
    stem = stem.replace("*", "")
    folder = re.sub(r"\{date:[^}]*\}", "", path.rpartition("/")[0])
    return cleaned(stem or folder or task.task_id), place[0], place[1]


def _place(scheme: str, bucket: str, path: str) -> tuple[str, str] | None:
    if scheme:
        address, separator, rest = path.partition("://")
        if separator:
            return (path, "") if address == scheme and not _REFUSED.search(_bare(rest)) else None
        whole = f"{scheme}://{bucket.strip('/')}/{path.lstrip('/')}"
        return (whole, "") if bucket and not _REFUSED.search(_bare(f"{bucket}/{path}")) else None
    if _REFUSED.search(_bare(path)) or "://" in path or not path.startswith("/"):
        return None
    first = path.split("/")[1]
    return f"{LANDING}{path}", f"link {LANDING}/{first} in the new project to /{first}"


def _bare(path: str) -> str:
    return re.sub(r"\{date:[^}]*\}", "x", path)


def _pattern(value: Value, task: Task, schedule: Schedule) -> str | None:
    """A path with `{date:…}` in the place of the interval's start; None if it isn't known."""
    if not isinstance(value, str):
        return None
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
            return None
    return "".join(parts) if dates <= 1 else None


def _is_start(piece: Instant, schedule: Schedule) -> bool:
    plain = not piece.end and not piece.intervals and piece.offset == dt.timedelta(0)
    days = schedule.grain in ("day", "month", "year") and re.fullmatch(
        r"(%[Ymd]|[-_/.])+", piece.pattern
    )
    complete = {"day": "%d", "month": "%m", "year": "%Y"}.get(schedule.grain, "?")
    return plain and bool(days) and complete in piece.pattern
