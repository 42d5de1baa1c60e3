"""Pauses a DAG in Airflow and lets it run again: all that Headrace ever changes there.

It is the REST API of Airflow 2 (`v1`) and 3 (`v2`), at the server that a source with `airflow:`
names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from headrace.connect.connectors import Unavailable
from headrace.connect.deliveries import printable
from headrace.connect.read_deadlines import AnswerTooLong, whole_answer
from headrace.model.errors import words_of
from headrace.security.secrets import Secrets

ANSWER_SECONDS = 10.0
ANSWER_BYTES_MAX = 1_000_000
_UNFINISHED = ("running", "queued")
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


class _Dag(msgspec.Struct, frozen=True):
    is_paused: bool


class _Runs(msgspec.Struct, frozen=True):
    total_entries: int


class AirflowControl:
    """One server's API. Its methods raise Unavailable, and SecretMissing at the first request."""

    def __init__(self, address: AirflowServerAddress, secrets: Secrets) -> None:
        self._address, self._secrets = address, secrets
        self.shown = printable(address.url, 300)

    def state(self, dag: str) -> DagState:
        """Return the state of a DAG."""
        is_paused = self._ask("GET", dag, "", _Dag).is_paused
        states = "&".join(f"state={state}" for state in _UNFINISHED)
        runs = self._ask("GET", dag, f"/dagRuns?limit=1&{states}", _Runs)
        return DagState(is_paused, runs.total_entries)

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
                headers=headers,
                json=body,
            )
        except AnswerTooLong:
            raise self._strange("its answer is too long") from None
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
