"""Every endpoint with what no client should send: no answer is a fault of the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest
from door_lab import Opened, opened
from serve_lab import ask, deliver, headrace, project

from headrace.web import events
from headrace.web.endpoints import ENDPOINTS, Endpoint

NOW = "2025-03-04T08:00"
HUGE = "1" + "0" * 20
GETS = [item for item in ENDPOINTS if item.method == "GET"]
ACTS = [item for item in ENDPOINTS if item.method != "GET"]
WORDS = [
    "-1",
    "0",
    "INC-99",
    "INC-" + HUGE,
    HUGE,
    str(2**63),
    "revenue@x",
    "%00",
    "1." + "9" * 20,
    "%F0%9F%92%A9",
    "x" * 900,
]
DEPTH = 20_000


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("hostile") / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    with opened(root) as result:
        yield result


def path_of(endpoint: Endpoint, word: str) -> str:
    return re.sub(r"{\w+(:path)?}", word, endpoint.path)


def named(endpoint: Endpoint) -> bool:
    return "{" in endpoint.path


@pytest.mark.parametrize(
    "endpoint", [get for get in GETS if named(get)], ids=lambda item: item.name
)
def test_a_name_that_does_not_exist_is_not_found(door: Opened, endpoint: Endpoint) -> None:
    """Would catch: 400 for an unknown name, so that a client can't tell a typo from a
    bad request."""
    fields = msgspec.structs.fields(endpoint.request)
    asked = "&".join(f"{field.encode_name}=x" for field in fields if field.required)
    answer = door.get(f"{path_of(endpoint, 'nothing')}?{asked}")
    assert answer.status == 404, answer.body
    assert answer.headers["content-type"] == "application/problem+json" and answer.json["detail"]


@pytest.mark.parametrize("endpoint", GETS, ids=lambda item: item.name)
def test_no_word_is_an_error_of_the_server(door: Opened, endpoint: Endpoint) -> None:
    """Would catch: 500 for a number that no database takes, or for text that no path holds."""
    for word in WORDS if named(endpoint) else ():
        assert door.get(path_of(endpoint, word)).status < 500, word
    for field in msgspec.structs.fields(endpoint.request):
        for word in (HUGE, "-" + HUGE, "%00"):
            if f"{{{field.name}" not in endpoint.path:
                asked = f"{path_of(endpoint, 'revenue')}?{field.encode_name}={word}"
                assert door.get(asked).status < 500, asked


@pytest.mark.parametrize("endpoint", ACTS, ids=lambda item: item.name)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEPTH + b"]" * DEPTH,
        b'{"x":' * 10_000 + b"1" + b"}" * 10_000,
        b"\xff",
        b"[]",
        b'{"reason":"\\ud800"}',
        b'{"seconds":%s}' % HUGE.encode(),
    ],
    ids=["lists", "objects", "bytes", "list", "surrogate", "number"],
)
def test_no_body_is_an_error_of_the_server(door: Opened, endpoint: Endpoint, body: bytes) -> None:
    """Would catch: a RecursionError in the process that leads, or a text that can't be stored."""
    headers = {"Authorization": f"Bearer {door.token}", "Content-Type": "application/json"}
    answer = ask(door.port, path_of(endpoint, "nothing"), method="POST", body=body, **headers)
    assert 400 <= answer.status < 500, answer.body
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_browser_is_answered_with_a_page(door: Opened) -> None:
    """Would catch: raw JSON for a person who mistyped an address."""
    answer = door.get("/nope<script>", Accept="text/html,*/*;q=0.8")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    pages = (b"There is no page here", b"This page needs JavaScript")  # with headrace-ui its own
    assert any(page in answer.body for page in pages) and b"nope<script" not in answer.body
    assert door.get("/api/v1/nope", Accept="text/html").json["status"] == 404
    assert door.get("/nope").json["status"] == 404


def test_there_are_no_more_streams_than_the_limit(
    door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: 107 streams at a limit of 100, because they were counted after they
    had begun.
    """
    import http.client

    monkeypatch.setattr(events, "LISTENERS_MAX", 20)
    with ExitStack() as held:
        connections = []
        for _ in range(40):
            connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=30)
            held.callback(connection.close)
            connection.request(
                "GET", "/api/v1/events", headers={"Authorization": f"Bearer {door.token}"}
            )
            connections.append(connection)
        statuses = [connection.getresponse().status for connection in connections]
    assert sorted(statuses) == [200] * 20 + [503] * 20
