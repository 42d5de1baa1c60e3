"""Pauses a DAG in Airflow and lets it run again: all that Headrace ever changes there.

It also reads how far the DAG is: its unfinished runs, and its newest one.

It is the REST API of Airflow 2 (`v1`) and 3 (`v2`), at the server that a source with `airflow:`
names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from headrace.connect.connectors import Unavailable
from headrace.connect.deliveries import printable
from headrace.connect.destinations import AddressRefused
from headrace.connect.read_deadlines import AnswerTooLong, whole_answer
from headrace.model.errors import words_of
from headrace.model.nodes import ALL_NETWORKS
from headrace.security.secrets import Secrets

ANSWER_SECONDS = 10.0
ANSWER_BYTES_MAX = 1_000_000
RUNS_PAGE = 50
RUNS_MAX = 1_000
"""At most this number of runs is read to find the newest one of the schedule."""
NAMED_RUNS_MAX = 5
_UNFINISHED = ("running", "queued")
_OF_TEST = "__airflow_temporary_run_"
"""Ids of runs of `airflow tasks test`, by which commands here run tasks, begin with it."""
_OF_SCHEDULE = ("scheduled", "backfill")
"""Types of the runs that have an interval of the schedule; runs by hand have any date."""
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_Answer = TypeVar("_Answer")


class AirflowServerAddress(msgspec.Struct, frozen=True):
    """The field `airflow:` of a source, as far as it names the server. Secrets are references."""

    url: str
    authorization: str | None = None
    api: str = "v2"


class DagState(NamedTuple):
    """Whether a DAG is paused, and how many of its runs are queued or running."""

    is_paused: bool
    unfinished: int
    runs: tuple[str, ...] = ()
    """Ids of unfinished runs, at most `NAMED_RUNS_MAX`."""


class ScheduledRun(msgspec.Struct, frozen=True):
    """A run of a DAG's schedule; Airflow 2 and 3 have the same fields."""

    dag_run_id: str
    state: str
    run_type: str
    logical_date: _Time | None = None
    data_interval_start: _Time | None = None
    data_interval_end: _Time | None = None

    @property
    def has_interval(self) -> bool:
        """Whether its date begins an interval; else it is the time at which the run was due."""
        start, end = self.data_interval_start, self.data_interval_end
        return start is not None and end is not None and start < end


class _Dag(msgspec.Struct, frozen=True):
    is_paused: bool


class _Details(msgspec.Struct, frozen=True):
    catchup: bool


class _RunId(msgspec.Struct, frozen=True):
    dag_run_id: str


class _Runs(msgspec.Struct, frozen=True):
    total_entries: int
    dag_runs: list[_RunId] = []


class _ScheduledRuns(msgspec.Struct, frozen=True):
    dag_runs: list[ScheduledRun]


class AirflowControl:
    """One server's API. Its methods raise Unavailable, and SecretMissing at the first request."""

    def __init__(
        self,
        address: AirflowServerAddress,
        secrets: Secrets,
        private_addresses: tuple[str, ...] = ALL_NETWORKS,
    ) -> None:
        self._address, self._secrets = address, secrets
        self._private_addresses = private_addresses
        self.shown = printable(address.url, 300)

    def state(self, dag: str) -> DagState:
        """Return the state of a DAG."""
        is_paused = self._ask("GET", dag, "", _Dag).is_paused
        states = "&".join(f"state={state}" for state in _UNFINISHED)
        runs = self._ask("GET", dag, f"/dagRuns?limit={RUNS_PAGE}&{states}", _Runs)
        ids = [run.dag_run_id for run in runs.dag_runs]
        names = [name for name in ids if not name.startswith(_OF_TEST)]
        count = runs.total_entries - (len(ids) - len(names))
        return DagState(is_paused, count, tuple(names[:NAMED_RUNS_MAX]))

    def newest_run(self, dag: str) -> ScheduledRun | None:
        """Return the run of the DAG's schedule with the newest logical date; None if none ran."""
        runs = self._runs_by_date(dag)
        return next((r for r in runs if r.run_type in _OF_SCHEDULE and r.logical_date), None)

    def _runs_by_date(self, dag: str) -> Iterator[ScheduledRun]:
        """Yield at most `RUNS_MAX` runs, the newest first."""
        field = "logical_date" if self._address.api == "v2" else "execution_date"
        received = 0
        while received < RUNS_MAX:
            rest = f"/dagRuns?limit={RUNS_PAGE}&offset={received}&order_by=-{field}"
            page = self._ask("GET", dag, rest, _ScheduledRuns).dag_runs
            if not page:
                return
            yield from page
            received += len(page)
        raise Unavailable(
            f"the newest {RUNS_MAX:,} runs of {dag} in {self.shown} aren't of its schedule, so that"
            " it isn't known which intervals Airflow has run",
            transient=False,
        )

    def catchup(self, dag: str) -> bool:
        """Return whether Airflow runs all intervals that a paused DAG has missed."""
        return self._ask("GET", dag, "/details", _Details).catchup

    def set_paused(self, dag: str, is_paused: bool) -> None:
        """Pause a DAG or let it run, and see that it is so."""
        answer = self._ask("PATCH", dag, "?update_mask=is_paused", _Dag, {"is_paused": is_paused})
        if answer.is_paused is not is_paused:
            raise Unavailable(
                f"{self.shown} didn't change whether {dag} is paused", transient=False
            )

    def _ask(
        self,
        method: str,
        dag: str,
        rest: str,
        kind: type[_Answer],
        body: Mapping[str, Any] | None = None,
    ) -> _Answer:
        import httpx

        base = str(self._secrets.resolved(self._address.url))
        if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
            raise Unavailable(
                f"{self.shown} isn't the URL of a server once its references are resolved",
                transient=False,
            )
        url = f"{base.rstrip('/')}/api/{self._address.api}/dags/{quote(dag, safe='')}{rest}"
        headers = {"Accept": "application/json"}
        if self._address.authorization is not None:
            headers["Authorization"] = str(self._secrets.resolved(self._address.authorization))
        try:
            answer = whole_answer(
                method,
                url,
                seconds=ANSWER_SECONDS,
                bytes_max=ANSWER_BYTES_MAX,
                private_addresses=self._private_addresses,
                headers=headers,
                json=body,
            )
        except AnswerTooLong:
            raise self._strange("its answer is too long") from None
        except AddressRefused as error:
            raise Unavailable(
                f"{self.shown} isn't asked: {error} ({error.hint})", transient=False
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            words = self._secrets.scrubbed(words_of(error))
            raise Unavailable(f"{self.shown} can't be asked ({words})") from None
        self._require_success(answer.status, dag)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.DecodeError as error:
            raise self._strange(printable(error, 120)) from None

    def _require_success(self, status: int, dag: str) -> None:
        if status == 404:
            raise Unavailable(
                f"{self.shown} has no DAG {dag}, or no API {self._address.api}", transient=False
            )
        if status in (401, 403):
            raise Unavailable(
                f"{self.shown} answers {status}: the source's `authorization` may not do this",
                code="access_denied",
                transient=False,
            )
        if not 200 <= status < 300:
            raise Unavailable(f"{self.shown} answers {status}")

    def _strange(self, words: str) -> Unavailable:
        api = self._address.api
        return Unavailable(
            f"{self.shown} doesn't answer as Airflow's REST API {api} does ({words})",
            transient=False,
        )
