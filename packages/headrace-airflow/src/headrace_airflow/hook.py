"""The HTTP API of `headrace serve`, at the server of an Airflow connection."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import httpx

try:
    from airflow.sdk import BaseHook
except ImportError:  # Airflow 2
    from airflow.hooks.base import BaseHook

CONNECTION = "headrace_default"
ANSWER_SECONDS = 30.0
POLL_SECONDS = 2.0
DEFAULT_PORT = 8787


class HeadraceError(Exception):
    """Headrace couldn't be asked, or refused. The message holds no token."""


class HeadraceHook(BaseHook):
    """Asks a Headrace server. Its methods raise HeadraceError."""

    conn_name_attr = "headrace_conn_id"
    default_conn_name = CONNECTION
    conn_type = "headrace"
    hook_name = "Headrace"

    def __init__(self, headrace_conn_id: str = CONNECTION) -> None:
        super().__init__()
        self.headrace_conn_id = headrace_conn_id

    def partition(self, asset: str, partition: str) -> dict[str, Any] | None:
        """Return one partition of an asset as Headrace's API does; None if it isn't known there."""
        path = f"assets/{quote(asset, safe='')}/partitions"
        rows = self._ask("GET", path, params={"from": partition, "to": partition})["partitions"]
        return next((row for row in rows if row["partition"] == partition), None)

    def run(self, asset: str, partition: str, reason: str) -> dict[str, Any]:
        """Run a partition of an asset, wait for the end of the run, and return its response."""
        wanted: dict[str, Any] = {"select": [asset], "reason": reason}
        if partition != "*":
            wanted["partitions"] = [partition]
        answer = self._ask("POST", "runs", json=wanted)
        if "act" not in answer:
            return answer  # it ended while Headrace waited
        while answer["state"] == "running":
            time.sleep(POLL_SECONDS)
            answer = self._ask("GET", f"acts/{quote(str(answer['id']), safe='')}")
        if answer["state"] == "failed":
            raise HeadraceError(_words(answer["problem"]))
        return dict(answer["document"])

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        connection = self.get_connection(self.headrace_conn_id)
        if not connection.host:
            raise HeadraceError(f"the connection {self.headrace_conn_id} has no host")
        scheme, port = connection.schema or "http", connection.port or DEFAULT_PORT
        url = f"{scheme}://{connection.host}:{port}/api/v1/{path}"
        headers = {"Authorization": f"Bearer {connection.password or ''}"}
        try:
            response = httpx.request(
                method, url, headers=headers, timeout=ANSWER_SECONDS, **request
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = str(error) or type(error).__name__
            raise HeadraceError(f"{connection.host}:{port} can't be asked: {words}") from None
        if not response.is_success:
            raise HeadraceError(_problem(response))
        return dict(response.json())


def _problem(response: httpx.Response) -> str:
    """Return what an answer says about a refused request (RFC 9457)."""
    try:
        words = _words(response.json())
    except ValueError:
        words = ""
    return ": ".join([f"Headrace answers {response.status_code}", *([words] if words else [])])


def _words(problem: Any) -> str:
    if not isinstance(problem, dict):
        return ""
    return "; ".join(str(problem[key]) for key in ("title", "detail", "hint") if problem.get(key))
