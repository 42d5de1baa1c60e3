"""The source `airflow`: the runs of a DAG or of one of its tasks, read from Airflow's REST API.

Airflow goes on running them. Every request is a GET (docs/decisions/0137-importers.md).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec

from headrace.connect.connectors import Access, Fetched, SourceKind, Unavailable
from headrace.connect.deliveries import (
    CannotRead,
    DetectedDelivery,
    Note,
    Observation,
    printable,
)
from headrace.model import PartitionSpec
from headrace.model.errors import shown
from headrace.model.fields import Fields
from headrace.model.intervals import Interval, interval_of
from headrace.model.secrets import check_connection, is_reference
from headrace_http.client import (
    FETCH_SECONDS_MAX,
    HttpClient,
    HttpNotFound,
    body_of,
)
from headrace_http.deliveries import LOOK_PATIENCE, LOOK_SECONDS, PAGE_BYTES_MAX, in_turn
from headrace_http.requests import HttpRequest, Spec, first_request, with_query

PAGE_SIZE = 100
"""Objects per page; Airflow's default `maximum_page_limit`. A server may send fewer."""
OBJECTS_MAX = 1_000
"""Runs of one interval, and mapped instances of a task in one run."""
NOTES_MAX = 20
"""Warnings about failed runs in one observation."""
FAILED = frozenset(("failed", "upstream_failed"))
_ID = re.compile(r"[\w.-]{1,250}")
"""Ids of DAGs and tasks, as Airflow checks them."""
_URL = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?", re.IGNORECASE)


_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class DagRun(msgspec.Struct, frozen=True):
    """A run of a DAG; fields as in both versions of the API. Runs without a logical date belong to
    no interval."""

    dag_run_id: str
    state: str
    logical_date: _Time | None = None
    data_interval_start: _Time | None = None
    data_interval_end: _Time | None = None
    start_date: _Time | None = None
    end_date: _Time | None = None


class TaskInstance(msgspec.Struct, frozen=True):
    """A task in a run, or one of its mapped instances. `state` is null before it is scheduled."""

    state: str | None = None
    map_index: int = -1
    try_number: int = 0
    start_date: _Time | None = None
    end_date: _Time | None = None


class _DagRuns(msgspec.Struct, frozen=True):
    dag_runs: list[DagRun]
    total_entries: int | None = None

    @property
    def count(self) -> int:
        return len(self.dag_runs)


class _TaskInstances(msgspec.Struct, frozen=True):
    task_instances: list[TaskInstance]
    total_entries: int | None = None

    @property
    def count(self) -> int:
        return len(self.task_instances)


_Page = TypeVar("_Page", _DagRuns, _TaskInstances)
_Answer = TypeVar("_Answer")


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a delivery. Without a task, it is about the whole run."""

    dag_id: str
    task_id: str | None
    run_id: str
    map_index: int | None
    state: str
    logical_date: datetime
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    try_number: int | None


class Declared(msgspec.Struct, frozen=True):
    """The field `airflow:` of a source."""

    url: str
    dag: str
    task: str | None = None
    authorization: str | None = None
    api: str = "v2"

    @property
    def name(self) -> str:
        """The id of the DAG, or of the task as imports write it: `dag_id.task_id`."""
        return self.dag if self.task is None else f"{self.dag}.{self.task}"


class Airflow(SourceKind):
    """`airflow: {url: "https://airflow.example.com", dag: sales, task: clean, authorization:
    "Bearer ${AIRFLOW_TOKEN}"}`: an interval is delivered once all of the runs whose logical date
    lies in it have succeeded. Its rows are these runs.
    """

    name = "airflow"
    fields = ("url", "dag", "task", "authorization", "api")
    meaning = "the runs of a DAG, or of one of its tasks, in Airflow's REST API"

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Return the fields as written. Secrets are references."""
        block = fields.block
        check_connection("airflow", block, block.lines, block.line, fields.report)
        url, dag = fields.required("url"), fields.required("dag")
        fields.choice("api", ("v1", "v2"), "v2")
        if url is not None and not is_reference(url) and not _URL.fullmatch(url):
            fields.refuse(
                "url",
                f"{shown(url)} isn't the URL of an Airflow server",
                'write url: "https://airflow.example.com", without /api',
            )
        for field in ("dag", "task"):
            value = fields.text(field)
            if value is not None and (not _ID.fullmatch(value) or not value.strip(".")):
                fields.refuse(
                    field,
                    f"{shown(value)} can't be an id in Airflow",
                    f"write {field}: the {field}_id as Airflow lists it",
                )
        if partition.grain is None or partition.key is not None:
            fields.refuse("dag", "runs of Airflow are partitioned by time", "add partition: day")
        return dict(block) if url is not None and dag is not None else None

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return what editors offer."""
        text = {"type": "string", "minLength": 1}
        return {
            "url": text,
            "dag": text,
            "task": text,
            "authorization": text,
            "api": {"enum": ["v1", "v2"]},
        }

    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """Return the intervals whose runs have all succeeded; failed runs are warnings."""
        declared = _declared(access)
        records, trouble = _look(access, wanted)
        deliveries = [
            _delivery(access, declared, key, rows)
            for key, rows in sorted(records.items())
            if _is_delivered(rows)
        ]
        failed = [row for rows in records.values() for row in rows if row.state in FAILED]
        notes = [_failure(declared, row) for row in failed[:NOTES_MAX]]
        if trouble is not None:
            notes.append(Note(trouble.code, declared.url, str(trouble)))
        if len(records) < len(wanted):
            message = f"{len(records)} of {len(wanted)} intervals were asked for"
            notes.append(
                Note(
                    "look_not_finished",
                    declared.url,
                    f"{message}; the next observation continues",
                )
            )
        return Observation(
            found=tuple(
                item for item in deliveries if item.version != _version(known, item.partition)
            ),
            notes=tuple(notes),
            seen=len(records),
            throttled_seconds=trouble.retry_after if trouble and trouble.throttled else None,
        )

    def fetch(self, access: Access, found: DetectedDelivery) -> Fetched:
        """Write the runs of an interval as JSON lines."""
        declared = _declared(access)
        with _opened(access, time.monotonic() + FETCH_SECONDS_MAX) as (_, api):
            records = api.records(_interval(access, found.partition))
        if not _is_delivered(records):
            raise Unavailable(
                f"the runs of {declared.name} for {found.partition} had succeeded when they were"
                " observed, and have been cleared or run again since"
            )
        access.temporary.mkdir(parents=True, exist_ok=True)
        path = access.temporary / f"{found.partition.replace(':', '')}.airflow"
        path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
        return Fetched(path=path, name=f"{access.source.name}.jsonl")


class AirflowApi:
    """Airflow's REST API, read by GET requests only. Its methods raise Unavailable."""

    def __init__(
        self, client: HttpClient, base: HttpRequest, declared: Declared, deadline: float
    ) -> None:
        self._client, self._request = client, base
        self._declared, self._deadline = declared, deadline

    def records(self, interval: Interval) -> list[RunRecord]:
        """Return the runs whose logical date lies in the interval, by logical date.

        With a task, its instances in these runs.
        """
        runs = [run for run in self._runs(interval) if _is_within(run, interval)]
        records = [record for run in runs for record in self._records_of(run)]
        return sorted(
            records, key=lambda record: (record.logical_date, record.run_id, record.map_index or 0)
        )

    def _runs(self, interval: Interval) -> Iterator[DagRun]:
        field = "logical_date" if self._declared.api == "v2" else "execution_date"
        bounds = {
            f"{field}_gte": interval.start.isoformat(),
            f"{field}_lte": interval.end.isoformat(),
        }
        try:
            for page in self._pages("dagRuns", bounds, _DagRuns):
                yield from page.dag_runs
        except HttpNotFound:
            raise Unavailable(
                f"{self._client.shown} has no DAG {self._declared.dag}, or no API"
                f" {self._declared.api}",
                code="configuration_error",
                transient=False,
            ) from None

    def _records_of(self, run: DagRun) -> Iterator[RunRecord]:
        if self._declared.task is None:
            whole = TaskInstance(run.state, start_date=run.start_date, end_date=run.end_date)
            yield _record(self._declared, run, whole)
            return
        for instance in self._instances(run, self._declared.task):
            if instance.state != "removed":
                yield _record(self._declared, run, instance)

    def _instances(self, run: DagRun, task: str) -> list[TaskInstance]:
        """Return the task's instances in a run; empty if the DAG didn't have the task then."""
        path = f"dagRuns/{quote(run.dag_run_id, safe='')}/taskInstances/{quote(task, safe='')}"
        try:
            return [self._get(path, {}, TaskInstance)]
        except HttpNotFound:
            pass  # a mapped task has no instance without an index
        try:
            pages = self._pages(f"{path}/listMapped", {}, _TaskInstances)
            return [instance for page in pages for instance in page.task_instances]
        except HttpNotFound:
            return []

    def _pages(self, path: str, query: Mapping[str, str], kind: type[_Page]) -> Iterator[_Page]:
        """Yield pages until all objects have come. Raises HttpNotFound, too."""
        received = 0
        while received <= OBJECTS_MAX:
            position = {"limit": str(PAGE_SIZE), "offset": str(received)}
            page = self._get(path, {**query, **position}, kind)
            received += page.count
            yield page
            total = received if page.count == 0 else page.total_entries
            if total is not None and total <= received <= OBJECTS_MAX:
                return
        raise Unavailable(
            f"{self._declared.name} has more than {OBJECTS_MAX:,} runs or mapped instances in one"
            " interval; declare a shorter partition",
            code="configuration_error",
            transient=False,
        )

    def _get(self, path: str, query: Mapping[str, str], kind: type[_Answer]) -> _Answer:
        return self._client.with_retries(lambda: self._get_once(path, query, kind))

    def _get_once(self, path: str, query: Mapping[str, str], kind: type[_Answer]) -> _Answer:
        url = f"{self._request.url.rstrip('/')}/api/{self._declared.api}"
        url = with_query(f"{url}/dags/{quote(self._declared.dag, safe='')}/{path}", query)
        request = HttpRequest("GET", url, self._request.headers, None)
        try:
            with self._client.send(request) as response:
                body = b"".join(body_of(response, PAGE_BYTES_MAX, deadline=self._deadline))
            return msgspec.json.decode(body, type=kind)
        except (CannotRead, msgspec.DecodeError) as error:
            raise Unavailable(
                f"{self._client.shown} doesn't answer as Airflow's REST API"
                f" {self._declared.api} does ({printable(error, 120)})",
                transient=False,
            ) from error


@contextmanager
def _opened(
    access: Access, deadline: float, patience: float | None = None
) -> Iterator[tuple[HttpClient, AirflowApi]]:
    """Yield a client of the server and its API. `deadline` is a monotonic time in seconds."""
    declared = _declared(access)
    headers = {"Accept": "application/json"}
    if declared.authorization is not None:
        headers["Authorization"] = declared.authorization
    spec = Spec(url=declared.url, headers=headers)
    base = first_request(spec, access)
    with HttpClient(access, spec, base, patience) as client:
        yield client, AirflowApi(client, base, declared, deadline)


def _look(
    access: Access, wanted: Sequence[str]
) -> tuple[dict[str, list[RunRecord]], Unavailable | None]:
    """Return the runs of intervals until time is over, and the error that ended it, if any.

    Raise Unavailable if no interval could be asked for.
    """
    records: dict[str, list[RunRecord]] = {}
    deadline = time.monotonic() + LOOK_SECONDS
    with _opened(access, deadline, LOOK_PATIENCE) as (client, api):
        for key in in_turn(wanted):
            if records and time.monotonic() + 2 * client.timeout > deadline:
                break
            try:
                records[key] = api.records(_interval(access, key))
            except Unavailable as error:
                if not records:
                    raise
                return records, error
    return records, None


def _declared(access: Access) -> Declared:
    return msgspec.convert(access.source.connector[Airflow.name], Declared)


def _interval(access: Access, key: str) -> Interval:
    grain = access.source.partition.time_grain
    return interval_of(key, grain, access.source.timezone or "UTC")


def _is_within(run: DagRun, interval: Interval) -> bool:
    date = run.logical_date
    return date is not None and interval.start <= date < interval.end


def _record(declared: Declared, run: DagRun, instance: TaskInstance) -> RunRecord:
    assert run.logical_date is not None, "runs without one belong to no interval"
    of_task = declared.task is not None
    return RunRecord(
        dag_id=declared.dag,
        task_id=declared.task,
        run_id=run.dag_run_id,
        map_index=instance.map_index if of_task else None,
        state=instance.state or "none",
        logical_date=run.logical_date,
        data_interval_start=run.data_interval_start,
        data_interval_end=run.data_interval_end,
        started_at=instance.start_date,
        ended_at=instance.end_date,
        try_number=instance.try_number if of_task else None,
    )


def _is_delivered(records: Sequence[RunRecord]) -> bool:
    return bool(records) and all(record.state == "success" for record in records)


def _delivery(
    access: Access, declared: Declared, key: str, records: Sequence[RunRecord]
) -> DetectedDelivery:
    ended = [record.ended_at.timestamp() for record in records if record.ended_at is not None]
    return DetectedDelivery(
        source=access.source.name,
        partition=key,
        path=f"{declared.url}#{declared.name}",
        size_bytes=-1,
        modified_us=int(max(ended) * 1_000_000) if ended else access.now_us,
        version=hashlib.sha256(msgspec.json.encode(records)).hexdigest(),
    )


def _failure(declared: Declared, record: RunRecord) -> Note:
    """Return a warning for a run that failed, in Airflow's words."""
    details = [f"run {printable(record.run_id, 120)}"]
    if record.map_index is not None and record.map_index >= 0:
        details.append(f"map index {record.map_index}")
    if record.try_number:
        details.append(f"try {record.try_number}")
    if record.ended_at is not None:
        details.append(f"ended {record.ended_at.isoformat()}")
    return Note(
        "airflow_run_failed",
        declared.url,
        f"{declared.name} is {record.state} in Airflow: {', '.join(details)}",
    )


def _version(known: Mapping[str, tuple[str, str]], key: str) -> str:
    return known.get(key, ("", ""))[1]
