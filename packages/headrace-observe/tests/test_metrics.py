"""What `/metrics` says, read with the parser of those who scrape, is what `status` says."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

from door_lab import opened as served
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from serve_lab import ask, project, response, write

from headrace.project.session import ProjectSession
from headrace.runtime.runs import TURN_SECONDS, LeaderCounters
from headrace_observe.metrics import CONSUMER_STATES, MetricsText, metrics_text


class Leads:
    role = "leader"
    figures = LeaderCounters(slots=3)


@contextmanager
def opened(root: Path, now: str) -> Iterator[ProjectSession]:
    session = ProjectSession(root, "prod", now, "tester")
    try:
        yield session
    finally:
        session.close()


def families(root: Path, now: str, server: Any) -> dict[str, Metric]:
    with opened(root, now) as session:
        text = metrics_text(session, server)
    result = list(text_string_to_metric_families(text))
    assert len({item.name for item in result}) == len(result), (
        "a family that comes twice is refused"
    )
    for item in result:
        assert item.documentation.endswith(".") and item.type in (
            "gauge",
            "counter",
            "histogram",
        ), item
        assert len({(s.name, tuple(sorted(s.labels.items()))) for s in item.samples}) == len(
            item.samples
        ), item.name
    return {item.name.removeprefix("headrace_"): item for item in result}


def test_metrics_are_what_status_says(tmp_path: Path) -> None:
    """Another derivation than `status`; percents where 1 is all; a kind of incident that isn't
    there until it is too late for alerts; a histogram that isn't cumulative."""
    root = project(tmp_path / "shop")
    header = "order_id,amount,day"
    for day in range(1, 6):
        path = root / f"landing/orders_2025-01-0{day}.csv"
        write(
            path,
            f"{header if day < 5 else header.replace('amount', 'sum')}\n1,2.5,2025-01-0{day}\n",
        )
        os.utime(path, (time.time() - 60,) * 2)
        response(root, "tick", "--now", f"2025-01-0{day + 1}T0{day}:00+01:00")
    now = "2025-01-07T12:00+01:00"
    told = response(root, "status", "--now", now)
    counted = Leads.figures
    for took in (0, 3, 12):
        counted.turns[took] += 2
    counted.turn_seconds = 12.5
    counted.partitions["published"] = 4
    result = families(root, now, Leads())

    def value(name: str, **labels: str) -> float | None:
        values = (
            [s.value for s in result[name].samples if labels.items() <= s.labels.items()]
            if name in result
            else []
        )
        assert len(values) <= 1, (name, labels)
        return values[0] if values else None

    (consumer,) = told["consumers"]
    states = {s.labels["state"]: s.value for s in result["consumer_state"].samples}
    assert states == {state: float(state == consumer["state"]) for state in CONSUMER_STATES}
    past = consumer["availability"]
    assert past["promised"] >= 0 and past["lost_minutes"] > 0, "else nothing is compared"
    of = {"consumer": "report"}
    assert value("consumer_lost_seconds", **of) == past["lost_minutes"] * 60
    assert (
        value("consumer_obligations_due", **of) == past["promised"]
        and value("consumer_obligations_kept", **of) == past["kept"]
    )
    for name, said in (
        ("consumer_honest_availability_ratio", past["honest"]),
        ("consumer_claimed_availability_ratio", past["claimed"]),
    ):
        assert value(name, **of) == float(Decimal(said) / 100), name
    assert value("honest_availability_ratio") == float(Decimal(told["honest_availability"]) / 100)
    assert value("classic_uptime_ratio") == float(Decimal(told["classic_uptime"]) / 100)
    assert value("quarantine_deliveries") == told["quarantine"]["deliveries"] > 0
    kinds = {s.labels["kind"]: s.value for s in result["incidents_open"].samples}
    assert (
        sum(kinds.values()) == told["incidents_open"] > 0
        and kinds["worker_lost"] == 0
        and kinds["schema_change"] == 1
    )
    assert value("source_deliveries_late", source="orders") is not None
    assert value("worker_slots") == 3 and value("leader") == 1

    buckets = [
        s.value for s in result["turn_duration_seconds"].samples if s.name.endswith("_bucket")
    ]
    assert len(buckets) == len(TURN_SECONDS) + 1 and buckets == sorted(buckets) and buckets[-1] == 6
    assert {
        s.value for s in result["turn_duration_seconds"].samples if s.name.endswith("_count")
    } == {6}
    assert "openlineage_events" not in result


def test_a_late_delivery_is_counted_until_it_comes(tmp_path: Path) -> None:
    """Would catch: intervals that came since, counted as long as their incident is open."""
    root = project(tmp_path / "shop")
    source = (
        "source: orders\nowner: core\npartition: day\nexpect: {by: '05:00'}\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n"
    )
    write(root / "sources/orders.yaml", source)

    def late(day: int, now: str) -> float:
        path = root / f"landing/orders_2025-01-0{day}.csv"
        write(path, f"order_id,amount,day\n1,2.5,2025-01-0{day}\n")
        os.utime(path, (time.time() - 60,) * 2)
        response(root, "tick", "--now", now)
        (said,) = families(root, now, Leads())["source_deliveries_late"].samples
        return said.value

    assert late(1, "2025-01-02T04:00+01:00") == 0
    assert late(2, "2025-01-05T06:00+01:00") == 2
    assert late(4, "2025-01-05T07:00+01:00") == 1


def test_each_turn_is_counted_in_its_bucket() -> None:
    """A turn that is counted twice, or not at all."""
    counted = LeaderCounters()
    for _ in range(3):
        with counted.iteration(nullcontext(None)):  # type: ignore[arg-type]
            pass
    assert sum(counted.turns) == 3 and 0 < counted.turn_seconds < 3


def test_rates_are_those_of_the_figure(tmp_path: Path) -> None:
    """Would catch: rates of nodes that did nothing, an unknown rate as 0, other numbers than the
    figure's, or a label with something else than declared names and fixed words."""
    root = project(tmp_path / "shop")
    write(root / "landing/orders_2025-01-01.csv", "order_id,amount,day\n1,2.5,2025-01-01\n")
    os.utime(root / "landing/orders_2025-01-01.csv", (time.time() - 60,) * 2)
    now = "2025-01-02T05:00+01:00"
    response(root, "tick", "--now", now)
    result = families(root, now, Leads())
    rows = response(root, "status", "--explain", "throughput", "--window", "1d", "--now", now)[
        "rows"
    ]
    assert {row["of"] for row in rows} >= {"orders"}
    for unit in ("rows", "bytes"):
        expected = {
            (row["kind"], row["of"], stage): value
            for row in rows
            for stage in ("delivered", "processed", "published", "good")
            if (value := row[f"{stage}_{unit}_per_second"]) is not None
        }
        samples = result[f"throughput_{unit}_per_second"].samples
        assert expected == {
            (s.labels["kind"], s.labels["name"], s.labels["stage"]): s.value for s in samples
        }
    ratios = {s.labels["name"]: s.value for s in result["rework_ratio"].samples}
    assert ratios["orders"] == 0


def test_metrics_are_written_with_their_heads_and_without_unknown_values() -> None:
    """Would catch: a counter declared as a gauge, a head without samples, unknown values as zero,
    buckets that aren't cumulated."""
    text = MetricsText()
    text.gauge("age", "Age.", ({"of": 'a"b\\\n'}, 1.5), ({"of": "unknown"}, None), ({}, 0))
    text.gauge("none", "None.", ({}, None))
    text.counter("runs_total", "Runs.", ({}, 3))
    text.histogram("turn", "Turns.", (0.5, 2), (1, 2, 4), 9.5)
    assert str(text).splitlines() == [
        "# HELP headrace_age Age.",
        "# TYPE headrace_age gauge",
        'headrace_age{of="a\\"b\\\\\\n"} 1.5',
        "headrace_age 0",
        "# HELP headrace_runs_total Runs.",
        "# TYPE headrace_runs_total counter",
        "headrace_runs_total 3",
        "# HELP headrace_turn Turns.",
        "# TYPE headrace_turn histogram",
        'headrace_turn_bucket{le="0.5"} 1',
        'headrace_turn_bucket{le="2"} 3',
        'headrace_turn_bucket{le="+Inf"} 7',
        "headrace_turn_sum 9.5",
        "headrace_turn_count 7",
    ]
    assert str(text).endswith("7\n")


def test_metrics_are_served_as_prometheus_text_to_those_with_a_token(tmp_path: Path) -> None:
    """Would catch: metrics for everybody; one label that isn't escaped, and nothing of it is read."""
    root = project(tmp_path / "shop")
    with served(root) as door:
        assert ask(door.port, "/metrics").status == 401
        answer = door.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    line = re.compile(r'headrace_[a-z_]+(\{([a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? [0-9.e+-]+')
    text = answer.body.decode()
    assert all(
        line.fullmatch(splitline)
        for splitline in text.splitlines()
        if not splitline.startswith("#")
    ), text
    assert 'headrace_consumer_state{consumer="report",owner="core",state="never"} 1' in text
