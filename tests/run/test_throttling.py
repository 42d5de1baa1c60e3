"""A server that asks to be left alone for a while is waited for, and nothing is counted as a failure."""

from __future__ import annotations

import email.utils
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server_lab import Asked, Reply, Server, reply
from runlab import Lab, published

SOURCE = """
source: {name}
owner: acme
partition: day
start: "2024-12-04"
http:
  url: {url}/{name}
  params: {{day: "{{date:%Y-%m-%d}}"}}
  records: $.items
  page: {{by: cursor, next: $.next}}
  timeout: 5s
  retries: 0
"""
DAYS = 37
"""From the start to the lab's day."""


class Api:
    """Two pages a day. `throttles` says which requests are refused, and with what."""

    def __init__(self, server: Server, lab: Lab, name: str = "prices") -> None:
        self.requests = 0
        self.every = 7
        self.wish: str | None = "0"
        self.only_fetches = False
        self.asked: list[tuple[str, str]] = []
        server.answers[f"/{name}"] = self.answer
        lab.write(f"sources/{name}.yaml", SOURCE.format(url=server.url, name=name))

    def answer(self, asked: Asked) -> Reply:
        self.requests += 1
        day, cursor = asked.one("day"), asked.one("cursor")
        if self.wish is not None and self.requests % self.every == 0 and (cursor or not self.only_fetches):
            return reply("{}", status=429, Retry_After=self.wish)
        self.asked.append((day, cursor))
        items = [{"id": n, "day": day, "price": 1.5} for n in ((3,) if cursor else (1, 2))]
        return reply(json.dumps({"items": items, "next": None if cursor else "c2"}))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as made:
        yield made


def the_pause_is_over(lab: Lab) -> None:
    """As if the time had passed that the server asked for."""
    for folder in (lab.root / ".headrace").rglob("rates"):
        shutil.rmtree(folder)


def test_all_days_come_in_one_tick(lab: Lab, server: Server) -> None:
    """Would catch: an API that answers every seventh request with 429 and `Retry-After: 1`, of which a tick loads 5 of 37 days."""
    api = Api(server, lab)
    api.wish = "1"
    done = lab.tick()
    assert len(published(done)) == DAYS and done.state == "succeeded"
    assert {one.state for one in done.attempts} == {"published"}
    pages = [one for one in api.asked if one[1]]
    assert len(set(pages)) == DAYS and len(pages) <= DAYS + 4  # the wait goes on at the page where it was; some are samples
    assert lab.headrace("incidents") == []


def test_a_long_pause_is_nobodys_failure(lab: Lab, server: Server) -> None:
    """Would catch: attempts that are spent while a server asks for patience, an incident over it, and a wait that nobody is told of."""
    api = Api(server, lab)
    api.every, api.wish, api.only_fetches = 1, "600", True
    lab.tick()
    failures = lab.rows("select max(failures), count(*) from partition where node = 'prices'")
    assert failures == [(0, DAYS)]
    assert {state for (state,) in lab.rows("select distinct state from attempt")} == {"skipped"}
    assert lab.headrace("incidents") == []
    (item,) = [one for one in lab.headrace("status")["open"] if one["kind"] == "source_throttled"]
    assert item["nodes"] == ["prices"] and f"0 of {DAYS} intervals loaded" in item["text"]
    refused = api.requests
    lab.tick()
    assert api.requests == refused  # the host is left alone, by all its partitions
    api.wish = None
    the_pause_is_over(lab)
    assert len(published(lab.tick())) == DAYS
    assert [one for one in lab.headrace("status")["open"] if one["kind"] == "source_throttled"] == []


@pytest.mark.parametrize(("wish", "kinds"), [("600", []), ("7200", ["source_unavailable"]), ("99999999999999", ["source_unavailable"])])
def test_an_incident_opens_above_an_hour_once_a_host(lab: Lab, server: Server, wish: str, kinds: list[str]) -> None:
    """Would catch: an incident over a pause of ten minutes, two over one host, and a wait of three thousand years."""
    for name in ("prices", "rates"):
        api = Api(server, lab, name)
        api.every, api.wish = 1, wish
    for _ in range(2):
        lab.tick()
    assert [one["cause"]["kind"] for one in lab.headrace("incidents")] == kinds
    (gate,) = [path for path in (lab.root / ".headrace").rglob("rates/*") if path.is_file()]
    assert float(gate.read_text()) <= time.time() + 86_400


def test_a_pause_beyond_the_promise_is_an_incident(lab: Lab, server: Server) -> None:
    """Would catch: a source that can't be there in time, of which nobody hears before it is late."""
    api = Api(server, lab)
    api.every, api.wish = 1, "1800"
    source = (lab.root / "sources/prices.yaml").read_text().replace('start: "2024-12-04"', 'start: "2025-01-09"\nexpect: {by: "12:20"}')
    lab.write("sources/prices.yaml", source)
    for _ in range(2):
        lab.tick()
    assert [one["cause"]["kind"] for one in lab.headrace("incidents")] == ["source_unavailable"]


def test_a_date_is_as_good_as_seconds(lab: Lab, server: Server) -> None:
    """Would catch: a Retry-After in HTTP's own format that is taken for none."""
    api = Api(server, lab)
    api.every, api.wish = 1, email.utils.formatdate(time.time() + 900, usegmt=True)
    lab.tick()
    (gate,) = [path for path in (lab.root / ".headrace").rglob("rates/*") if path.is_file()]
    assert time.time() + 800 < float(gate.read_text()) < time.time() + 901
    assert api.requests == 1


def test_no_attempt_is_counted_where_503_says_until_when(lab: Lab, server: Server, tmp_path: Path) -> None:
    """Would catch: a maintenance of a server that says how long it takes, as five attempts that failed."""
    api = Api(server, lab)
    api.wish = None
    refused = iter(range(3))
    answer = api.answer

    def sometimes(asked: Asked) -> Reply:
        if asked.one("cursor") and next(refused, None) is not None:
            return reply("{}", status=503, Retry_After="0")
        return answer(asked)

    server.answers["/prices"] = sometimes
    done = lab.tick()
    assert len(published(done)) == DAYS and {one.state for one in done.attempts} == {"published"}
