"""A server that asks to be left alone for a while is waited for, and nothing is counted as a
failure.
"""

from __future__ import annotations

import email.utils
import json
import re
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from http_server_lab import Asked, Reply, Server, reply
from runlab import Lab, published
from source_packages import NEEDS_HTTP

pytestmark = [pytest.mark.long, NEEDS_HTTP]

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
        if (
            self.wish is not None
            and self.requests % self.every == 0
            and (cursor or not self.only_fetches)
        ):
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
    """Would catch: an API that answers every seventh request with 429 and `Retry-After: 1`, of
    which a tick loads 5 of 37 days.
    """
    api = Api(server, lab)
    api.wish = "1"
    done = lab.tick()
    assert len(published(done)) == DAYS and done.state == "succeeded"
    assert {attempt.state for attempt in done.attempts} == {"published"}
    pages = [item for item in api.asked if item[1]]
    assert (
        len(set(pages)) == DAYS and len(pages) <= DAYS + 4
    )  # the wait goes on at the page where it was; some are samples
    assert lab.headrace("incidents") == []


def test_a_long_pause_is_nobodys_failure(lab: Lab, server: Server) -> None:
    """Would catch: attempts that are spent while a server asks for patience, an incident over it,
    and a wait that nobody is told of."""
    api = Api(server, lab)
    api.every, api.wish, api.only_fetches = 1, "600", True
    lab.tick()
    failures = lab.rows("select max(failures), count(*) from partition where node = 'prices'")
    assert failures == [(0, DAYS)]
    assert {state for (state,) in lab.rows("select distinct state from attempt")} == {"skipped"}
    assert lab.headrace("incidents") == []
    (item,) = [
        item for item in lab.headrace("status")["open"] if item["kind"] == "source_throttled"
    ]
    assert item["nodes"] == ["prices"] and f"0 of {DAYS} intervals loaded" in item["text"]
    refused = api.requests
    lab.tick()
    assert api.requests == refused  # the host is left alone, by all its partitions
    said = {reason for (reason,) in lab.rows("select reason from partition where node = 'prices'")}
    assert said and not any(re.search(r"\b(in|for) \d+ s", text) for text in said), (
        "seconds from then on would be read later"
    )
    assert all(re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", text) for text in said), said
    api.wish = None
    the_pause_is_over(lab)
    assert len(published(lab.tick())) == DAYS
    assert [
        item for item in lab.headrace("status")["open"] if item["kind"] == "source_throttled"
    ] == []


def test_status_counts_what_is_expected_and_not_what_was_delivered(
    lab: Lab, server: Server
) -> None:
    """Would catch: "5 of 5 intervals loaded" while 32 days haven't even been asked for."""
    api = Api(server, lab)
    api.every, api.wish = 6, "600"
    lab.tick()
    (item,) = [
        item for item in lab.headrace("status")["open"] if item["kind"] == "source_throttled"
    ]
    assert f" of {DAYS} intervals loaded" in item["text"]
    assert lab.rows("select count(*) < 37 from partition where node = 'prices'") == [(1,)]


@pytest.mark.parametrize(
    ("wish", "kinds"),
    [("600", []), ("7200", ["source_unavailable"]), ("99999999999999", ["source_unavailable"])],
)
def test_an_incident_opens_above_an_hour_once_a_host(
    lab: Lab, server: Server, wish: str, kinds: list[str]
) -> None:
    """Would catch: an incident over a pause of ten minutes, two over one host, and a wait of three
    thousand years.
    """
    for name in ("prices", "rates"):
        api = Api(server, lab, name)
        api.every, api.wish = 1, wish
    for _ in range(2):
        lab.tick()
    assert [item["cause"]["kind"] for item in lab.headrace("incidents")] == kinds
    (gate,) = [path for path in (lab.root / ".headrace").rglob("rates/*") if path.is_file()]
    _steady, wall, _machine = gate.read_text().split(" ", 2)
    assert float(wall) <= time.time() + 86_400


def test_a_pause_beyond_the_promise_is_an_incident(lab: Lab, server: Server) -> None:
    """Would catch: a source that can't be there in time, of which nobody hears before
    it is late."""
    api = Api(server, lab)
    api.every, api.wish = 1, "1800"
    source = (
        (lab.root / "sources/prices.yaml")
        .read_text()
        .replace('start: "2024-12-04"', 'start: "2025-01-09"\nexpect: {by: "12:20"}')
    )
    lab.write("sources/prices.yaml", source)
    for _ in range(2):
        lab.tick()
    assert [item["cause"]["kind"] for item in lab.headrace("incidents")] == ["source_unavailable"]


def test_a_pause_in_which_data_is_late_is_one_cause_for_all_that_the_server_has(
    lab: Lab, server: Server
) -> None:
    """Would catch: two incidents and two mails over one pause of one server, and `late_source` to
    the end.
    """
    for name in ("prices", "rates"):
        api = Api(server, lab, name)
        api.every, api.wish = 1, "600"
        source = (lab.root / f"sources/{name}.yaml").read_text()
        lab.write(
            f"sources/{name}.yaml",
            source.replace('start: "2024-12-04"', 'start: "2025-01-09"\nexpect: {by: "12:20"}'),
        )
    lab.tick()
    assert lab.headrace("incidents") == [], "nothing is late yet"
    lab.now += timedelta(minutes=30)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == "source_unavailable"


def test_a_date_is_as_good_as_seconds(lab: Lab, server: Server) -> None:
    """Would catch: a Retry-After in HTTP's own format that is taken for none."""
    api = Api(server, lab)
    api.every, api.wish = 1, email.utils.formatdate(time.time() + 900, usegmt=True)
    lab.tick()
    (gate,) = [path for path in (lab.root / ".headrace").rglob("rates/*") if path.is_file()]
    wall = float(gate.read_text().split(" ", 2)[1])
    assert time.time() + 800 < wall < time.time() + 901
    assert api.requests == 1


class Listing:
    """One day's listing of five pages by number, which answers so many requests for pages and then
    asks for 45 seconds.
    """

    def __init__(self, server: Server, lab: Lab, allowed: int) -> None:
        self.pages = [[{"id": 10 * n + i, "price": n} for i in range(2)] for n in range(5)]
        self.allowed, self.left, self.asked = allowed, allowed, list[int]()
        server.answers["/prices"] = self.answer
        source = SOURCE.format(url=server.url, name="prices").replace(
            "{by: cursor, next: $.next}", "{by: page}"
        )
        lab.write(
            "sources/prices.yaml", source.replace('start: "2024-12-04"', 'start: "2025-01-09"')
        )

    def answer(self, asked: Asked) -> Reply:
        page = int(asked.one("page"))
        if self.left == 0:
            return reply("{}", status=429, Retry_After="45")
        self.left -= 1
        self.asked.append(page)
        rows = self.pages[page - 1] if page <= len(self.pages) else []
        return reply(json.dumps({"items": rows}))

    def until_published(self, lab: Lab) -> int:
        """How many ticks it takes, one each time the pause is over."""
        for count in range(1, 40):
            done = lab.tick()
            if published(done):
                return count
            self.left = self.allowed
            the_pause_is_over(lab)
        raise AssertionError(self.asked)


def rows_of(lab: Lab) -> list[int]:
    return sorted(row["id"] for row in lab.headrace("read", "prices")["rows"])


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_a_delivery_goes_on_at_the_page_where_it_was(
    lab: Lab, server: Server, allowed: int
) -> None:
    """Would catch: a delivery that begins again at page 1 after each pause of 45 seconds, and so
    never comes.
    """
    listing = Listing(server, lab, allowed)
    listing.until_published(lab)
    assert rows_of(lab) == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41]
    pages = [page for page in listing.asked if page > 1]
    assert pages.index(6) == 4, "each page was asked for once until the last one had come"
    assert all(pages.count(page) <= 2 for page in range(2, 7)), (
        "and once more to see that it is the same"
    )
    kept = list((lab.root / ".headrace").rglob("pages/*"))
    assert kept == [], "what has been used is gone"


def test_a_listing_that_changed_meanwhile_is_read_anew(lab: Lab, server: Server) -> None:
    """Would catch: a record that is there twice, or not at all, since the pages moved while we
    waited."""
    listing = Listing(server, lab, 4)
    lab.tick()  # a look, and pages 1 to 3
    everything = [row for page in listing.pages for row in page]
    everything.insert(3, {"id": 99, "price": 9})
    listing.pages = [everything[at : at + 2] for at in range(0, len(everything), 2)]
    listing.left = listing.allowed = 40
    the_pause_is_over(lab)
    assert len(published(lab.tick())) == 1
    assert rows_of(lab) == sorted(row["id"] for row in everything)


def test_no_attempt_is_counted_where_503_says_until_when(
    lab: Lab, server: Server, tmp_path: Path
) -> None:
    """Would catch: a maintenance of a server that says how long it takes, as five attempts that
    failed.
    """
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
    assert len(published(done)) == DAYS and {attempt.state for attempt in done.attempts} == {
        "published"
    }
