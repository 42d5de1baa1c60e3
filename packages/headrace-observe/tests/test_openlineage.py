"""OpenLineage events of real attempts, read strictly with the classes of the client that others
read them with.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import pytest
from http_server_lab import Asked, Reply, Server, reply
from openlineage.client import event_v2
from openlineage_reader import read
from runlab import SETTINGS, Lab

from headrace_observe import openlineage
from headrace_observe.openlineage import HttpSink, NotSent
from headrace_testing.services.doctor import project as examined

FILE = '[openlineage]\nfile = "lineage/events.jsonl"\n'
ENDS = ("COMPLETE", "FAIL", "ABORT")


def events(lab: Lab) -> list[dict[str, Any]]:
    path = lab.root / "lineage/events.jsonl"
    result = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for item in result:
        read(event_v2.RunEvent, item)
    return result


def told(result: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((item["job"]["name"], item["eventType"]) for item in result)


def shop(lab: Lab, settings: str) -> None:
    lab.write("headrace.toml", SETTINGS + settings)
    lab.sql(
        "daily",
        "select day, customer, sum(amount) as total from orders where amount > 0 group by day,"
        " customer",
        "partition: {by: day, column: day}\nbatch: off\nchecks:\n  - not_null: [customer]\n  -"
        " row_count: {min: 1}",
    )
    lab.orders("2025-01-01")
    lab.orders("2025-01-02")


def _said(result: list[dict[str, Any]]) -> None:
    """What the events of `daily` hold."""
    completed = next(
        item
        for item in result
        if item["job"]["name"] == "produce/daily" and item["eventType"] == "COMPLETE"
    )
    assert [item["name"] for item in completed["inputs"]] == ["orders"]
    (output,) = completed["outputs"]
    assert [item["name"] for item in output["facets"]["schema"]["fields"]] == [
        "day",
        "customer",
        "total",
    ]
    lineage = output["facets"]["columnLineage"]
    (total,) = [
        item
        for item in lineage["fields"]["total"]["inputFields"]
        if item["transformations"][0]["type"] == "DIRECT"
    ]
    assert (total["name"], total["field"], total["transformations"]) == (
        "orders",
        "amount",
        [{"type": "DIRECT", "subtype": "AGGREGATION"}],
    )
    assert ("amount", "FILTER") in {
        (item["field"], item["transformations"][0]["subtype"]) for item in lineage["dataset"]
    }
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert completed["run"]["facets"]["nominalTime"]["nominalStartTime"].startswith("2025-01-0")

    failed = next(
        item
        for item in result
        if item["job"]["name"] == "produce/daily" and item["eventType"] == "FAIL"
    )
    assert "row_count" in failed["run"]["facets"]["errorMessage"]["message"]
    assert "outputFacets" not in failed["outputs"][0], "nobody sees it"
    audited = [
        item["inputs"][0]["inputFacets"]
        for item in result
        if item["job"]["name"] == "audit/daily" and item["eventType"] == "COMPLETE"
    ]
    verdicts = Counter(
        (item["assertion"], item["success"])
        for facets in audited
        for item in facets["dataQualityAssertions"]["assertions"]
    )
    assert verdicts["row_count", True] == 2 and verdicts["row_count", False] == 1
    assert audited[0]["dataQualityMetrics"]["columnMetrics"]["customer"] == {
        "nullCount": 0,
        "count": 3,
    }


def test_every_attempt_is_told_once_and_says_what_it_read_made_and_found(lab: Lab) -> None:
    """Events that collectors refuse; an attempt that is told twice or not at all, also over
    leaders; values of the data in an event."""
    shop(lab, FILE)
    lab.orders("2025-01-03", amount="-1.00")  # nothing of it is left: row_count rejects
    lab.sql(
        "broken",
        "select cast(customer as integer) as n, day from orders",
        "partition: {by: day, column: day}",
    )
    lab.tick()
    result = events(lab)
    made = {
        ("take_in/orders", "START"): 3,
        ("take_in/orders", "COMPLETE"): 3,
        ("produce/daily", "START"): 3,
        ("produce/daily", "COMPLETE"): 2,
    }
    audits = {("audit/daily", "START"): 3, ("audit/daily", "COMPLETE"): 3}
    broken = {("produce/broken", "START"): 3, ("produce/broken", "FAIL"): 3}
    assert told(result) == Counter(made | audits | broken | {("produce/daily", "FAIL"): 1})
    ends = Counter(item["run"]["runId"] for item in result if item["eventType"] in ENDS)
    assert set(ends.values()) == {1} and {item["run"]["runId"] for item in result} == ends.keys()

    _said(result)

    (before,) = lab.rows("select content from told_lineage")[0]
    lab.orders("2025-01-04")
    lab.tick()
    more = events(lab)[len(result) :]
    assert (
        told(more)["take_in/orders", "COMPLETE"] == 1
        and told(more)["produce/daily", "COMPLETE"] == 1
    )
    assert not {item["run"]["runId"] for item in more} & {one["run"]["runId"] for one in result}
    with sqlite3.connect(
        lab.root / ".headrace/state.db"
    ) as db:  # as if the leader had died after it had sent them
        db.execute("update told_lineage set content = ?", (before,))
    db.close()
    lab.tick()
    assert events(lab)[len(result) + len(more) :] == more, "the same again, and nothing else"

    text = (lab.root / "lineage/events.jsonl").read_text()
    assert '"c1"' not in text and "'c1'" not in text, "values are nobody's"
    assert not re.search(r"(?<![\d:.])1\.50(?!\d)", text), (
        "values are nobody's, but a time may end in 01.50"
    )


@pytest.mark.slow
def test_events_of_a_state_in_postgresql(postgresql_lab: Lab) -> None:
    """SQL that only one of the two databases understands."""
    lab = postgresql_lab
    shop(lab, FILE)
    lab.write("headrace.toml", f'{SETTINGS}[store]\nurl = "{lab.url}"\n{FILE}')
    lab.tick()
    assert (
        told(events(lab))["audit/daily", "COMPLETE"] == 2
        and told(events(lab))["take_in/orders", "COMPLETE"] == 2
    )


class Collector:
    """An endpoint that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.down = False

    def __call__(self, asked: Asked) -> Reply:
        assert asked.headers["authorization"] == "Bearer hush-hush-hush", asked.headers
        if self.down or self.answers:
            return reply("", status=503 if self.down else self.answers.pop(0))
        self.taken.append(json.loads(asked.body))
        return reply("", status=201)


@pytest.mark.long
def test_an_endpoint_that_hangs_fails_or_refuses_delays_nothing_and_misses_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing waits for a collector; what was done while it was down is never told; one refused
    event holds up all others; a token in the store."""
    monkeypatch.setattr(openlineage, "LAST_SECONDS", 0.3)
    with Server() as server:
        collector = Collector()
        declared = (
            f'[openlineage]\nurl = "{server.url}/v1"\ntoken ='
            ' "secret://env/LINEAGE_TOKEN"\nnamespace = "acme"\n'
        )
        shop(lab, declared)
        server.answers["/v1"] = Reply(hang=True)
        response = lab.tick()
        assert len(response.published) == 4 and server.count("/v1") == 0
        assert "LINEAGE_TOKEN isn't set" in lab.rows("select content from told_lineage")[0][0]
        monkeypatch.setenv("LINEAGE_TOKEN", "hush-hush-hush")
        lab.tick()
        assert server.count("/v1") == 1
        server.answers["/v1"] = collector
        collector.down = True
        lab.tick()
        assert collector.taken == [], "it is to be tried again, in order"
        (finding,) = [item for item in examined(lab.session()) if item.name == "lineage events"]
        assert finding.state.value == "warn" and "503" in finding.detail
        assert "503" in lab.rows("select content from told_lineage")[0][0]
        monkeypatch.setattr(openlineage, "LAST_SECONDS", 10.0)
        collector.down, collector.answers = False, [422]
        lab.tick()
    assert len(collector.taken) == 11, "twelve events, and one will never be taken"
    for item in collector.taken:
        assert read(event_v2.RunEvent, item).job.namespace == "acme"
    (content,) = lab.rows("select content from told_lineage")[0]
    assert (
        json.loads(content)["sent"],
        json.loads(content)["refused"],
        json.loads(content)["error"],
    ) == (11, 1, "")
    assert b"hush-hush" not in (lab.root / ".headrace/state.db").read_bytes()


def test_a_token_with_a_line_break_is_told_nowhere() -> None:
    """Would catch: the message of Python's HTTP client, which repeats a header that
    can't be sent."""
    with pytest.raises(NotSent) as refused:
        HttpSink("http://127.0.0.1:9/x", "topsecret123\nx").send(b"{}")
    assert "topsecret" not in str(refused.value)


def test_b11_lineage_events_hold_the_policy() -> None:
    """B11. Would catch: a channel beside the sources that goes anywhere."""
    with Server() as server:
        server.answers["/hook"] = reply("{}")
        with pytest.raises(NotSent, match="private"):
            HttpSink(f"{server.url}/hook", "", ()).send(b"{}")
        assert server.asked == []
        with closing(HttpSink(f"{server.url}/hook", "")) as sink:
            assert sink.send(b"{}")
        assert [item.path for item in server.asked] == ["/hook"]
