"""The stream of changes: what whoever keeps a page open is told, and when."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serve_lab import Server, deliver, headrace, project, serving

NOW = "2025-03-04T08:00"


class Listening:
    """One who listens."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    def next(self) -> tuple[str, Any]:
        """The next event and its data; `end` where the stream is over."""
        fields: dict[str, str] = {}
        while line := self._answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        return (fields["event"], json.loads(fields["data"])) if fields else ("end", None)

    def until(self, kind: str) -> Any:
        """The names that the first change of a kind has."""
        while True:
            name, data = self.next()
            assert name != "end"
            for change in data.get("changes", ()):
                if change["kind"] == kind:
                    return change["names"]


@contextmanager
def listening(server: Server, **headers: str) -> Iterator[Listening]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {"Authorization": f"Bearer {server.token}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    connection.request("GET", "/api/v1/events", headers=sent)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-type"]) == (
        200,
        "text/event-stream; charset=utf-8",
    )
    try:
        yield Listening(answer)
    finally:
        answer.close()
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    root = project(tmp_path_factory.mktemp("events") / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    with serving(root) as result:
        yield result, root


def test_a_change_is_told_to_all_who_listen(server: tuple[Server, Path]) -> None:
    """Would catch: a page that shows yesterday's state until it is loaded again."""
    result, root = server
    with listening(result) as item, listening(result) as other:
        for each in (item, other):
            name, data = each.next()
            assert name == "changes" and data["changes"] == [] and data["id"]
        headrace(root, "pause", "revenue", "--reason", "later")
        assert item.until("audit") and other.until("audit")
        deliver(root, "2025-03-02")
        headrace(root, "tick")
        assert item.until("partitions") == ["orders"]
        assert other.until("deliveries") == ["orders"]
        headrace(root, "resume", "revenue")


def test_who_comes_again_is_told_what_it_missed(server: tuple[Server, Path]) -> None:
    """Would catch: a change that happened while the laptop was asleep."""
    result, root = server
    with listening(result) as item:
        _, data = item.next()
    headrace(root, "pause", "orders", "--reason", "later")
    headrace(root, "resume", "orders")
    with listening(result, Last_Event_ID=data["id"]) as again:
        name, missed = again.next()
        assert name == "changes" and [change["kind"] for change in missed["changes"]] == ["audit"]
    for rubbish in ("x", "AAAA", "../..", "k" * 5000):
        with listening(result, Last_Event_ID=rubbish) as lost:
            assert [change["kind"] for change in lost.next()[1]["changes"]] == ["everything"]


def test_an_id_outlives_the_server(server: tuple[Server, Path]) -> None:
    """Would catch: pages that load everything again after each deployment, or miss what was done
    meanwhile.
    """
    result, _ = server
    with listening(result) as item:
        first = item.next()[1]["id"]
    with listening(result, Last_Event_ID=first) as again:
        assert again.next()[1] == {"id": first, "changes": []}


def test_a_server_stops_though_somebody_listens(tmp_path: Path) -> None:
    """Would catch: a deployment that hangs until the last browser is closed."""
    root = project(tmp_path / "shop")
    headrace(root, "tick", "--now", NOW)
    with serving(root) as result, listening(result) as item:
        item.next()
        assert result.stop() == 0
        assert item.next()[0] == "end"
