"""A paged API through the whole of Headrace: from the server to an asset, while it is down, wrong,
and full of secrets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from http_server_lab import Asked, Reply, Server, reply
from runlab import Lab, published

CANARY = "canary-5b0c77-never-written-down"
SOURCE = """
source: prices
owner: acme
partition: day
start: "2025-01-08"
http:
  url: {url}/prices
  params: {{day: "{{date:%Y-%m-%d}}"}}
  headers: {{Authorization: "Bearer ${{PRICES_TOKEN}}"}}
  records: $.items
  page: {{by: cursor, next: $.next}}
  timeout: 5s
  retries: 0
"""
DAYS = ["2025-01-08", "2025-01-09"]


class Prices:
    """Two pages a day, three rows; nothing for days that it doesn't know."""

    def __init__(self, server: Server) -> None:
        self.days: dict[str, float] = dict.fromkeys(DAYS, 100)
        self.wrong: Reply | None = None
        self.server = server
        self.answered_by(self.answer)

    def answered_by(self, answer: Callable[[Asked], Reply]) -> None:
        self.server.answers["/prices"] = answer

    def answer(self, asked: Asked) -> Reply:
        if asked.headers["authorization"] != f"Bearer {CANARY}":
            return reply("{}", status=401)
        if self.wrong is not None:
            return self.wrong
        price = self.days.get(asked.one("day"))
        if price is None:
            return reply("{}", status=404)
        second = asked.one("cursor") == "c2"
        items = [
            {"id": n, "day": asked.one("day"), "price": price} for n in ((3,) if second else (1, 2))
        ]
        return reply(json.dumps({"items": items, "next": None if second else "c2"}))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.fixture
def prices(server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Prices:
    monkeypatch.setenv("PRICES_TOKEN", CANARY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    lab.write("sources/prices.yaml", SOURCE.format(url=server.url))
    lab.sql(
        "total",
        "select day, sum(price) as total, count(*) as n from prices group by day",
        "partition: {by: day, column: day}",
    )
    lab.write("consumers.yaml", "- {consumer: desk, owner: core, reads: [total], due: '07:00'}\n")
    return Prices(server)


def test_pages_become_an_asset_and_a_second_pass_asks_for_nothing_again(
    lab: Lab, prices: Prices, server: Server
) -> None:
    """Would catch: pages that are lost or doubled on the way, and days that are fetched at every
    pass.
    """
    response = lab.tick()
    assert published(response) == sorted(
        (name, day) for name in ("prices", "total") for day in DAYS
    )
    assert sorted((row["day"], row["total"], row["n"]) for row in lab.read("total")) == [
        (day, 300, 3) for day in DAYS
    ]
    before = len(server.asked)
    assert lab.tick().state == "nothing_due"
    assert len(server.asked) == before
    ((size,), _) = lab.rows("select size_bytes from delivery order by id")
    assert size > 0


def test_the_bytes_that_were_read_are_measured(lab: Lab, prices: Prices) -> None:
    """Would catch: -1 bytes, where a look can't tell the size, in what an attempt says that it
    read.
    """
    lab.tick()
    result = [
        json.loads(measures)["bytes_in"]
        for (measures,) in lab.rows("select measures from attempt where node = 'prices'")
    ]
    assert result == [3 * len('{"id": 1, "day": "2025-01-08", "price": 100}\n')] * 2


def test_a_server_that_is_down_loses_nothing(lab: Lab, prices: Prices, server: Server) -> None:
    """Would catch: a refused connection taken for `no data`, silence about it, and a day that is
    never asked for again."""
    with Server() as other:
        down = other.url
    lab.write("sources/prices.yaml", SOURCE.format(url=down))
    first = lab.tick()
    assert first.state == "nothing_due"
    assert "prices: " in str(first.reason) and "no connection" in str(first.reason)
    ((error, code),) = lab.rows("select error, code from look where source = 'prices'")
    assert code == "source_unavailable" and "no connection" in error
    lab.write("sources/prices.yaml", SOURCE.format(url=server.url))
    lab.headrace("apply", "--yes", code=None)
    assert ("total", DAYS[1]) in published(lab.tick())


def test_a_refused_token_is_access_denied_and_is_told_apart(
    lab: Lab, prices: Prices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: an expired token that looks like a server that is down, and is tried
    for ever."""
    monkeypatch.setenv("PRICES_TOKEN", "expired")
    lab.tick()
    ((error, code),) = lab.rows("select error, code from look where source = 'prices'")
    assert code == "access_denied" and "401" in error and "expired" not in error
    (incident,) = lab.headrace("incidents")
    assert (
        incident["repair"]["first"]
        == "check the secret and the rights with which prices is reached"
    )
    assert not incident["repair"]["automatic"]
    waits = lab.headrace("why", f"prices@{DAYS[0]}")
    assert "can't be observed since" in waits["verdict"] and "401" in waits["verdict"]
    assert waits["next"] == f"headrace incident {incident['id']}"
    monkeypatch.setenv("PRICES_TOKEN", CANARY)
    assert lab.headrace("fix", incident["id"], "--yes")["state"] == "resolved"


@pytest.mark.long
def test_a_source_that_breaks_between_look_and_fetch_fails_with_its_code_and_heals(
    lab: Lab, prices: Prices
) -> None:
    """Would catch: an answer that can't be fetched taken for an empty day."""
    prices.days = {DAYS[0]: 100}
    good = prices.answer

    def breaking(asked: Asked) -> Reply:
        return reply("{}", status=500) if asked.one("cursor") else good(asked)

    prices.answered_by(breaking)
    lab.tick()
    errors = [
        json.loads(error)
        for (error,) in lab.rows("select error from attempt where node = 'prices'")
    ]
    assert errors and {(error["kind"], error["code"]) for error in errors} == {
        ("transient", "source_unavailable")
    }
    assert lab.rows("select count(*) from publication") == [(0,)]
    prices.answered_by(good)
    assert ("total", DAYS[0]) in published(lab.run("prices", "total"))


def test_an_answer_that_isnt_json_is_rejected_and_said(lab: Lab, prices: Prices) -> None:
    """Would catch: noise that is published, or an attempt that is repeated for ever over the same
    noise."""
    prices.wrong = reply('{"items": [{"id": 1,')
    response = lab.tick()
    assert [(item.asset, item.state) for item in response.rejected] == [("prices", "rejected")] * 2
    assert all("isn't JSON" in reason for (reason,) in lab.rows("select reason from delivery"))


@pytest.mark.long
def test_a_renamed_field_is_held_with_its_rows(lab: Lab, prices: Prices) -> None:
    """Would catch: drift in an API that nobody sees, or a held delivery of which nothing can be
    shown.
    """
    lab.tick()
    prices.wrong = reply('{"items": [{"id": 1, "day": "2025-01-10", "cost": 5}], "next": null}')
    lab.headrace("tick", "--now", "2025-01-11T12:00:00+00:00", code=None)
    (held,) = [item for item in lab.headrace("quarantine") if item["node"] == "prices"]
    assert held["state"] == "held" and held["rows"] == 1
    assert "price" in held["reason"] and held["sample"] == [
        {"id": "1", "day": "2025-01-10", "cost": "5"}
    ]


def test_a_first_day_without_records_is_complete_with_none(lab: Lab, prices: Prices) -> None:
    """Would catch: an API whose first days are empty, so that nothing after them ever runs."""
    prices.days = {}
    prices.wrong = reply('{"items": [], "next": null}')
    assert published(lab.tick()) == [("prices", day) for day in DAYS]
    prices.wrong, prices.days = None, {"2025-01-10": 5}
    response = lab.headrace("tick", "--now", "2025-01-11T12:00:00+00:00", code=None)
    assert ("prices", "2025-01-10") in [
        (item["asset"], item["partition"]) for item in response["published"]
    ]


def test_types_are_learnt_from_more_than_the_first_day(lab: Lab, prices: Prices) -> None:
    """Would catch: a price that is whole on the first day and held on the second, because it isn't
    any more."""
    prices.days[DAYS[1]] = 2.5
    response = lab.tick()
    assert ("prices", DAYS[1]) in published(response)
    assert {row["price"] for row in lab.read("prices")} == {100, 2.5}


@pytest.mark.slow
@pytest.mark.timeout(180)  # five processes, one after the other
def test_no_secret_is_written_down(lab: Lab, prices: Prices, server: Server) -> None:
    """Would catch: a token in a log, an error, a document, the state, a kept file, or in what `ps`
    shows.
    """
    good = prices.answer
    seen: list[str] = []

    def watching(asked: Asked) -> Reply:
        seen.extend(_command_lines())
        if asked.one("day") == DAYS[1] and asked.one("cursor"):
            return Reply(500, {"X-Echo": asked.headers["authorization"], "Content-Length": "0"})
        return good(asked)

    prices.answered_by(watching)
    documents = [lab.headrace("tick", code=None)]
    documents += [
        lab.headrace(*command, code=None)
        for command in (("status",), ("runs",), ("quarantine",), ("logs", "prices"))
    ]
    assert any("headrace" in line for line in seen)
    assert not [line for line in seen if CANARY in line]
    assert CANARY not in json.dumps(documents)
    files = [path for path in lab.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any("raw" in path.parts for path in files)
    assert [str(path) for path in files if CANARY.encode() in path.read_bytes()] == []


def _command_lines() -> list[str]:
    result = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                result.append(
                    (folder / "cmdline")
                    .read_bytes()
                    .replace(b"\0", b" ")
                    .decode("utf-8", "replace")
                )
            except OSError:
                continue
    return result


def test_b11_a_source_says_which_setting_refuses_it(
    lab: Lab, prices: Prices, server: Server
) -> None:
    """B11. Would catch: a policy that sources don't read, or an error that doesn't name it."""
    settings = (lab.root / "headrace.toml").read_text()
    lab.write("headrace.toml", settings + '[http]\nprivate_addresses = "refuse"\n')
    response = lab.tick()
    assert server.asked == []
    assert "private_addresses" in str(response.reason)
    ((code,),) = lab.rows("select code from look where source = 'prices'")
    assert code == "configuration_error"


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://x/1", "unix:///run/s", "ftp://x/y", "http:///#/../../etc/"],
)
def test_b11_a_source_asks_over_http_only(lab: Lab, url: str) -> None:
    """B11. Would catch: a URL that a library opens by another protocol."""
    lab.write(
        "sources/prices.yaml",
        f"source: prices\nowner: acme\npartition: day\nhttp: {{url: '{url}'}}\n",
    )
    problems = lab.headrace("validate", code=None)
    assert not problems["ok"]
