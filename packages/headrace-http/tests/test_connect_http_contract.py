"""HTTP sources keep the contract of remote sources: a real server, asked page by page, by offset,
by cursor and by links.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from http_server_lab import Asked, Reply, Server, reply
from remote_contract import CANARY, Remote, RemoteContract, Row

from headrace.model import PartitionSpec, Place, Source

PAGINGS: dict[str, dict[str, Any]] = {
    "page": {"by": "page", "parameter": "p", "size": 3, "size_parameter": "n"},
    "offset": {"by": "offset", "size": 3},
    "cursor": {"by": "cursor", "next": "$.meta.next", "parameter": "after"},
    "link": {"by": "link"},
    "link-in-body": {"by": "link", "next": "$.meta.link"},
    "none": {},
}


def source_of(http: dict[str, Any], **more: Any) -> Source:
    given = {
        "owner": "acme",
        "timezone": "UTC",
        "partition": PartitionSpec(),
        "place": Place(file="sources/api.yaml"),
        **more,
    }
    return Source(name="api", connector={"http": http}, **given)


class Api(Remote):
    """An API that gives its rows in pages of three."""

    def __init__(self, server: Server, paging: str) -> None:
        self.server, self.paging = server, paging
        self.rows: list[Row] = []
        self.version = 0
        self.mode = ""
        self.refusals = 0
        self.url, self.asked = f"{server.url}/items", 0
        server.answers["/items"] = self.answer

    @property
    def source(self) -> Source:
        page = {"page": PAGINGS[self.paging]} if PAGINGS[self.paging] else {}
        headers = {"Authorization": "Bearer ${REMOTE_SECRET}"}
        return source_of(
            {
                "url": self.url,
                "records": "$.items",
                "headers": headers,
                "timeout": "5s",
                "retries": 1,
                **page,
            }
        )

    def answer(self, asked: Asked) -> Reply:
        if asked.headers["authorization"] != f"Bearer {CANARY}" or self.mode == "forbid":
            return reply(
                '{"error": "who are you, ' + asked.headers["authorization"] + '?"}', status=401
            )
        if self.refusals:
            self.refusals -= 1
            return reply("{}", status=429, Retry_After="0")
        etag = f'"v{self.version}"'
        if asked.headers.get("if-none-match") == etag:
            return Reply(304)
        return self.page(asked, etag)

    def page(self, asked: Asked, etag: str) -> Reply:
        first = self.first(asked) if self.mode != "repeat" else 0
        rows = self.rows[first : first + 3] if self.paging != "none" else self.rows
        more = first + 3 < len(self.rows)
        link = f"{self.url}?from={first + 3}"
        meta = {"next": str(first + 3) if more else None, "link": link if more else None}
        body = json.dumps({"items": rows, "meta": meta}, indent=1).encode()
        headers = {"Content-Type": "application/json", "ETag": etag}
        if self.paging == "link" and more:
            headers["Link"] = f'<{link}>; rel="next"'
        if self.mode == "spoil":
            body = b"\x00\xff" + body[5:]
        if self.mode in ("break", "hang") and (first > 0 or self.paging == "none"):
            return (
                Reply(200, headers, [body[:40], body[40:]], close_after=1)
                if self.mode == "break"
                else Reply(hang=True)
            )
        return Reply(200, headers, [body])

    def first(self, asked: Asked) -> int:
        if self.paging == "page":
            assert asked.one("n") == "3"
            return 3 * (int(asked.one("p")) - 1)
        return int(asked.one({"offset": "offset", "cursor": "after"}.get(self.paging, "from")) or 0)

    def fill(self, rows: Sequence[Row]) -> None:
        self.rows, self.version = list(rows), self.version + 1

    def forbid(self) -> None:
        self.mode = "forbid"

    def go_away(self) -> None:
        self.url = "http://127.0.0.1:9/items"

    def break_off(self) -> None:
        self.mode = "break"

    def hang(self) -> None:
        self.mode = "hang"

    def spoil(self) -> None:
        self.mode = "spoil"

    def come_back(self) -> None:
        self.mode, self.url = "", f"{self.server.url}/items"

    def limit_rate(self) -> None:
        self.refusals = 1

    def repeat(self) -> None:
        if self.paging == "none":
            super().repeat()
        self.mode = "repeat"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


class TestHttp(RemoteContract):
    @pytest.fixture(
        params=[
            pytest.param(kind, marks=[pytest.mark.slow] if kind == "offset" else [])
            for kind in PAGINGS
        ]
    )
    def remote(self, request: pytest.FixtureRequest, server: Server) -> Remote:
        return Api(server, request.param)
