"""A run as a trace: its attempts as spans, each with the stages of the delay ledger.

Ids are derived from numbers and times of the store, so that a span sent twice has one id. Texts of
errors aren't sent: a database's message may quote a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from headrace.ledger.records import Try
from headrace_observe.queries import Ran

PARTITIONS_MAX = 20
"""Most partitions of an attempt that are named."""
FAILED = frozenset({"failed", "lost"})
Said = Mapping[str, str | int | Sequence[str]]
_SCOPE = InstrumentationScope("headrace")


class Spans:
    """The spans of one project. `resource` names the service that they belong to."""

    def __init__(self, project: str, resource: Resource) -> None:
        self._project, self._resource = project, resource

    def of_run(self, run: Ran, ended: int) -> ReadableSpan:
        """Return the span of a run that has ended."""
        attributes: Said = {"headrace.run": run.id, "headrace.state": run.state}
        return self._span(
            f"{run.kind} {run.id}",
            self._run(run),
            None,
            run.started_at,
            ended,
            attributes,
            failed=run.state in FAILED,
        )

    def of_attempt(self, run: Ran, item: Try, partitions: str) -> Iterator[ReadableSpan]:
        """Yield the span of an attempt, from its queueing to its recorded end, and its stages.

        `partitions` is JSON.
        """
        if item.finished_us is None:
            return
        keys: list[str] = msgspec.json.decode(partitions)
        attributes: dict[str, str | int | Sequence[str]] = {
            "headrace.run": run.id,
            "headrace.attempt": f"{item.epoch}.{item.n}",
            "headrace.node": item.node,
            "headrace.kind": item.kind,
            "headrace.state": item.state,
            "headrace.partitions": keys[:PARTITIONS_MAX],
            "headrace.partitions.count": len(keys),
        }
        if item.error:
            attributes["error.type"] = item.error
        attempt_context, failed = self._context(run, "attempt", *item.id), item.state in FAILED
        yield self._span(
            f"{item.kind} {item.node}",
            attempt_context,
            self._run(run),
            item.queued_us,
            item.finished_us,
            attributes,
            failed=failed,
        )
        for stage, begins, ends in _stages(item, item.finished_us):
            yield self._span(
                stage,
                self._context(run, stage, *item.id),
                attempt_context,
                begins,
                ends,
                {"headrace.node": item.node},
            )

    def _run(self, run: Ran) -> SpanContext:
        return self._context(run, "run")

    def _context(self, run: Ran, *what: object) -> SpanContext:
        trace = _number(16, self._project, run.id, run.started_at)
        return SpanContext(
            trace,
            _number(8, trace, *what),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )

    def _span(
        self,
        name: str,
        span_context: SpanContext,
        parent: SpanContext | None,
        begins: int,
        ends: int,
        attributes: Said,
        *,
        failed: bool = False,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            span_context,
            parent,
            self._resource,
            attributes,
            start_time=begins * 1000,
            end_time=max(begins, ends) * 1000,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            instrumentation_scope=_SCOPE,
        )


def _stages(item: Try, ended: int) -> Iterator[tuple[str, int, int]]:
    """Yield the stages of an attempt, without gaps; stages of no duration are left out."""
    marks = [
        ("queue", item.queued_us),
        ("dispatch", item.dispatched_us),
        ("export" if item.kind == "export" else "run", item.began_us),
    ]
    if item.kind != "export":
        marks += [("audit", item.audited_from_us), ("publish", item.published_from_us)]
    for (stage, begins), (_, ends) in zip(marks, [*marks[1:], ("", ended)], strict=True):
        if ends > begins:
            yield stage, begins, ends


def _number(size: int, *parts: object) -> int:
    """Return a hash of the parts as a number of `size` bytes that isn't 0."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest(), "big") or 1
