"""Traces of real runs, taken by a collector on the loopback address and read with OpenTelemetry's
own messages.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from http_server_lab import Asked, Reply, Server, reply
from runlab import Lab, published

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otel`")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from headrace_observe import traces

PATIENT = 50.0
"""So slow a machine may be that has to send the rest."""
STAGES = {"queue", "dispatch", "run", "audit", "publish"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as started:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setattr(traces, "LAST_SECONDS", PATIENT)
        yield started


def collecting(server: Server) -> list[Span]:
    """What arrives from now on."""
    result: list[Span] = []

    def take(asked: Asked) -> Reply:
        request = ExportTraceServiceRequest.FromString(asked.body)
        result.extend(
            span
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        )
        return reply(b"", "application/x-protobuf")

    server.answers["/v1/traces"] = take
    return result


def shop(lab: Lab) -> None:
    lab.sql(
        "daily",
        "select day, sum(amount) as total from orders group by day",
        "partition: {by: day, column: day}",
    )
    lab.python(
        "broken",
        "def broken(orders):\n    raise ValueError('secret 4711')",
        inputs=["orders"],
        partition="day",
    )
    lab.orders("2025-01-01")


def said(span: Span) -> dict[str, str]:
    return {
        attribute.key: attribute.value.string_value or str(attribute.value.int_value)
        for attribute in span.attributes
    }


def test_a_run_is_a_trace_and_its_stages_are_what_the_store_measured(
    lab: Lab, server: Server
) -> None:
    """Would catch: spans that overlap or leave gaps, times of another clock or unit, a failure that
    looks fine, a value of the data that leaves, attempts that are sent twice or not at all."""
    result = collecting(server)
    shop(lab)
    lab.tick()
    assert len({span.trace_id for span in result}) == 1
    assert len({span.span_id for span in result}) == len(result)
    [run] = [span for span in result if not span.parent_span_id]
    assert run.name.startswith("tick ")
    attempts = {
        said(span)["headrace.attempt"]: span for span in result if "headrace.attempt" in said(span)
    }
    [[number]] = lab.rows("select id from run")
    assert {said(span)["headrace.run"] for span in (run, *attempts.values())} == {str(number)}
    rows = lab.rows("select epoch || '.' || n, node, state, queued_at, finished_at from attempt")
    assert {
        (
            key,
            said(item)["headrace.node"],
            said(item)["headrace.state"],
            item.start_time_unix_nano,
            item.end_time_unix_nano,
        )
        for key, item in attempts.items()
    } == {(key, node, state, q * 1000, f * 1000) for key, node, state, q, f in rows}
    assert {attempt.name for attempt in attempts.values()} == {
        "take_in orders",
        "produce daily",
        "produce broken",
    }
    for attempt in attempts.values():
        assert attempt.parent_span_id == run.span_id
        stages = sorted(
            (s for s in result if s.parent_span_id == attempt.span_id),
            key=lambda s: s.start_time_unix_nano,
        )
        assert {s.name for s in stages} <= STAGES
        assert "run" in {s.name for s in stages}
        ends = [attempt.start_time_unix_nano, *(s.end_time_unix_nano for s in stages)]
        assert [s.start_time_unix_nano for s in stages] == ends[:-1]
        assert ends[-1] == attempt.end_time_unix_nano
        assert (attempt.status.code == Status.STATUS_CODE_ERROR) is (
            attempt.name == "produce broken"
        )
    assert all(b"4711" not in span.SerializeToString() for span in result)


@pytest.mark.parametrize(
    "answer", [Reply(hang=True), reply(b"no", status=503)], ids=["hangs", "refuses"]
)
def test_a_collector_that_is_away_delays_nothing(
    lab: Lab, server: Server, answer: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a leader that waits for a collector for as long as that may take (an hour here:
    the test's time would be over); one whose traces never come again."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    monkeypatch.setattr(traces, "LAST_SECONDS", 0.3)
    server.answers["/v1/traces"] = answer
    shop(lab)
    assert ("daily", "2025-01-01") in published(lab.tick())
    monkeypatch.setattr(traces, "LAST_SECONDS", PATIENT)
    result = collecting(server)
    lab.orders("2025-01-02")
    lab.tick()
    assert {said(span).get("headrace.node") for span in result} >= {"orders", "daily"}


def test_without_a_collector_nothing_is_sent(
    lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: traces that are sent although nobody named where, or said that none
    are wanted.
    """
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    result = collecting(server)
    shop(lab)
    lab.tick()
    assert (result, server.count("/v1/traces")) == ([], 0)
