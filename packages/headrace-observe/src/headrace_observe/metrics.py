"""`/metrics`, in Prometheus' text format.

Metrics come from the status response, a few counts of the store, and this process. The help text of
each metric says what it counts and since when. Why not prometheus-client:
docs/decisions/0027-http-server.md.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from headrace import __version__
from headrace.extension import SEE, HttpRoute, ProjectSession, ServerContext, command
from headrace.incidents.evidence import arrivals
from headrace.model.causes import CauseKind
from headrace.responses import StatusResponse
from headrace.runtime.runs import TURN_SECONDS
from headrace.services.figures import visible_throughputs
from headrace.services.status import status
from headrace.slo.throughput import STAGES
from headrace.store.queries import evidence, telemetry
from headrace.web.readiness import ServerInfo, lease_age
from headrace_observe import queries

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METRICS_FRESH_SECONDS = 1.0
"""Metrics that are younger are returned again without a new read."""
CONSUMER_STATES = ("served", "at_risk", "late", "wrong", "never", "unknown")


def routes(context: ServerContext) -> list[HttpRoute]:
    """Return the route of `/metrics`, which has the series of the nodes that somebody may see."""
    needs = command("metrics", SEE, lists=True)
    return [HttpRoute(path="/metrics", handler=Metrics(context).answer, needs=needs)]


class Metrics:
    """The endpoint of one server. The metrics of all nodes are cached, however many ask."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._scraping, self._scraped, self._scraped_at = asyncio.Lock(), "", float("-inf")

    async def answer(self, request: Request) -> Response:
        """Return the metrics of the nodes that somebody may see."""
        reader, server = self._context.reader, self._context.server
        if await self._context.read(request, lambda session: session.visible is not None):
            text = await self._context.read(request, lambda session: metrics_text(session, server))
            return Response(text, media_type=METRICS_MEDIA_TYPE)
        async with self._scraping:
            if time.monotonic() - self._scraped_at >= METRICS_FRESH_SECONDS:
                self._scraped = await reader.response(
                    lambda session: metrics_text(session, server), None
                )
                self._scraped_at = time.monotonic()
        return Response(self._scraped, media_type=METRICS_MEDIA_TYPE)


Sample = tuple[Mapping[str, str], float | None]


class MetricsText:
    """The text of all metrics, one after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def gauge(self, name: str, means: str, *samples: Sample) -> None:
        """Add a number that goes up and down."""
        self._family(name, "gauge", means, samples)

    def counter(self, name: str, means: str, *samples: Sample) -> None:
        """Add a number that only grows until the process ends."""
        self._family(name, "counter", means, samples)

    def histogram(
        self, name: str, means: str, bounds: Sequence[float], counts: Sequence[int], total: float
    ) -> None:
        """Add a histogram.

        `counts` has one number per bucket, not cumulated; the last one is of values above all
        bounds.
        """
        self._head(name, "histogram", means)
        below = list(itertools.accumulate(counts))
        marks = [*(_number(bound) for bound in bounds), "+Inf"]
        self._lines += [
            f'headrace_{name}_bucket{{le="{mark}"}} {n}'
            for mark, n in zip(marks, below, strict=True)
        ]
        self._lines += [
            f"headrace_{name}_sum {_number(total)}",
            f"headrace_{name}_count {below[-1]}",
        ]

    def _head(self, name: str, kind: str, means: str) -> None:
        self._lines += [f"# HELP headrace_{name} {means}", f"# TYPE headrace_{name} {kind}"]

    def _family(self, name: str, kind: str, means: str, samples: Iterable[Sample]) -> None:
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            self._head(name, kind, means)
            self._lines += [
                f"headrace_{name}{_labels(labels)} {_number(value)}" for labels, value in known
            ]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def metrics_text(session: ProjectSession, server: ServerInfo) -> str:
    """Return all metrics. Unknown values are left out, never zero.

    A role that is limited to nodes gets the metrics of these nodes, and of the leader's lease.
    """
    metrics_text = MetricsText()
    response = status(session)  # sets the nodes that the session's identity may see
    _add_process(metrics_text, session, server)
    if session.visible is None:
        _add_counters(metrics_text, server)
    _add_consumers(metrics_text, response)
    _add_status(metrics_text, response)
    if session.visible is None:
        _add_project(metrics_text, response)
    _add_store(metrics_text, session)
    _add_throughput(metrics_text, session)
    return str(metrics_text)


def _add_process(text: MetricsText, session: ProjectSession, server: ServerInfo) -> None:
    epoch, age = lease_age(session)
    text.gauge(
        "info",
        "Version, environment and project of this process.",
        ({"version": __version__, "env": session.env, "project": session.settings.name}, 1),
    )
    text.gauge("leader", "1 while this process leads.", ({}, int(str(server.role) == "leader")))
    text.gauge("lease_epoch", "Epoch of the current leader.", ({}, epoch))
    text.gauge("lease_age_seconds", "Seconds since the leader renewed its lease.", ({}, age))


def _add_counters(text: MetricsText, server: ServerInfo) -> None:
    counted = server.figures
    if counted is None:
        return
    text.gauge("worker_slots", "Attempts that can run at once.", ({}, counted.slots))
    means = "Duration of the leader's loop transactions, with commits, since it leads."
    text.histogram(
        "turn_duration_seconds", means, TURN_SECONDS, counted.turns.copy(), counted.turn_seconds
    )
    done = sorted(counted.partitions.copy().items())
    text.counter(
        "partitions_total",
        "Partitions by the outcome of their attempts, since it leads.",
        *(({"state": s}, n) for s, n in done),
    )


def _add_consumers(text: MetricsText, response: StatusResponse) -> None:
    consumers = response.consumers
    text.gauge(
        "consumer_state",
        "1 for the consumer's state, 0 for the others.",
        *(
            ({"consumer": c.name, "owner": c.owner, "state": state}, int(c.state == state))
            for c in consumers
            for state in CONSUMER_STATES
        ),
    )
    text.gauge(
        "consumer_backlog",
        "Older unmet obligations.",
        *(({"consumer": c.name}, len(c.backlog)) for c in consumers),
    )
    window = f"over the last {response.window}"
    removed = [(row.name, row.availability) for row in response.removed]
    with_availability = [(c.name, c.availability) for c in consumers if c.availability is not None]
    known = [({"consumer": name}, past) for name, past in (*with_availability, *removed)]
    due = [(item, past) for item, past in known if past.honest is not None]
    text.gauge(
        "consumer_honest_availability_ratio",
        f"Share of time served, as known now, {window}.",
        *((item, _ratio(past.honest)) for item, past in known),
    )
    text.gauge(
        "consumer_claimed_availability_ratio",
        f"Share of time served, as reported at the time, {window}.",
        *((item, _ratio(past.claimed)) for item, past in known),
    )
    text.gauge(
        "consumer_lost_seconds",
        f"Seconds not served, as known now, {window}.",
        *((item, past.lost_minutes * 60) for item, past in due),
    )
    text.gauge(
        "consumer_obligations_due",
        f"Obligations that fell due {window}.",
        *((item, past.promised) for item, past in known),
    )
    text.gauge(
        "consumer_obligations_kept",
        f"Of these, those met in time, {window}.",
        *((item, past.kept) for item, past in known),
    )


def _add_status(text: MetricsText, response: StatusResponse) -> None:
    counts = response.assets
    states = {
        "fresh": counts.fresh,
        "behind": counts.behind,
        "stale": counts.stale,
        "never": counts.never,
    }
    text.gauge(
        "assets",
        "Assets by state.",
        *(({"state": state}, n) for state, n in states.items()),
    )
    text.gauge(
        "assets_unchecked",
        "Assets whose newest publication no check covers.",
        ({}, counts.unchecked),
    )
    text.gauge(
        "quarantine_deliveries",
        "Deliveries in quarantine.",
        ({}, response.quarantine.deliveries),
    )
    text.gauge("quarantine_rows", "Rows in quarantine.", ({}, response.quarantine.rows))
    window = f"over the last {response.window}"
    text.gauge(
        "honest_availability_ratio",
        f"Share of time served of the worst consumer, {window}.",
        ({}, _ratio(response.honest_availability)),
    )
    lost = response.minutes_lost
    text.gauge(
        "lost_seconds",
        f"Seconds not served, all consumers together, {window}.",
        ({}, None if lost is None else lost * 60),
    )


def _add_project(text: MetricsText, response: StatusResponse) -> None:
    text.gauge(
        "not_applied", "Nodes whose files differ from what is applied.", ({}, response.not_applied)
    )
    text.gauge(
        "classic_uptime_ratio",
        f"Share of started runs that succeeded, over the last {response.window}.",
        ({}, _ratio(response.classic_uptime)),
    )


def _add_store(text: MetricsText, session: ProjectSession) -> None:
    if session.store is None or session.compiled is None:
        return
    now, visible = session.clock.now_us(), session.visible
    sources = list(filter(session.shows, session.compiled.project.sources))
    with session.store.read() as tx:
        work = queries.open_work(tx, visible)
        partitions = queries.partitions_open(tx, visible)
        observations = queries.last_observations(tx, sources)
        incidents = queries.incidents_open(tx, visible)
        late = Counter(source for source, _ in evidence.active_of(tx, arrivals.KIND).values())
        cursor = telemetry.lineage_cursor(tx)
    text.gauge(
        "incidents_open",
        "Open incidents by kind of cause.",
        *(({"kind": kind}, incidents.get(kind, 0)) for kind in CauseKind),
    )
    text.gauge(
        "source_deliveries_late",
        "Overdue deliveries.",
        *(({"source": name}, late[name]) for name in sources),
    )
    text.gauge(
        "attempts",
        "Current attempts by state.",
        *(({"state": state}, n) for state, n in work.attempts.items()),
    )
    text.gauge(
        "queue_age_seconds",
        "Age of the oldest current attempt.",
        ({}, _age_seconds(work.oldest_us, now)),
    )
    text.gauge(
        "partitions_open",
        "Partitions that aren't published.",
        *(({"state": state}, n) for state, n in partitions.items()),
    )
    text.gauge(
        "source_last_look_age_seconds",
        "Seconds since a source was last observed.",
        *(
            ({"source": name}, _age_seconds(observation.at, now))
            for name, observation in observations.items()
        ),
    )
    text.gauge(
        "source_look_failed",
        "1 if the last observation failed.",
        *(({"source": n}, int(observation.failed)) for n, observation in observations.items()),
    )
    if visible is not None:
        return
    text.gauge(
        "requests_waiting",
        "Requests of commands that no leader has answered.",
        ({}, work.requests),
    )
    if cursor is not None:
        counts = {"sent": cursor.sent, "refused": cursor.refused}
        text.counter(
            "openlineage_events_total",
            "Lineage events by outcome.",
            *(({"outcome": o}, n) for o, n in counts.items()),
        )
        text.gauge(
            "openlineage_failing",
            "1 while lineage events can't be sent.",
            ({}, int(bool(cursor.error))),
        )


THROUGHPUT_WINDOW = "1d"


def _add_throughput(text: MetricsText, session: ProjectSession) -> None:
    """Add the rates of the nodes that worked in the last day, and of their domains."""
    rows = visible_throughputs(session, THROUGHPUT_WINDOW)
    families = {"rows": "throughput_rows_per_second", "bytes": "throughput_bytes_per_second"}
    for unit, name in families.items():
        text.gauge(
            name,
            f"{unit.capitalize()} per second of work, over the last {THROUGHPUT_WINDOW}.",
            *(
                (
                    {"kind": row.kind, "name": row.of, "stage": stage},
                    getattr(row, f"{stage}_{unit}_per_second"),
                )
                for row in rows
                for stage in STAGES
            ),
        )
    text.gauge(
        "rework_ratio",
        f"Share of the processed rows that was work redone, over the last {THROUGHPUT_WINDOW}.",
        *(({"kind": row.kind, "name": row.of}, _ratio(row.rework_percent)) for row in rows),
    )


def _age_seconds(at_us: int | None, now_us: int) -> float | None:
    return None if at_us is None else max(0.0, (now_us - at_us) / 1e6)


def _ratio(percent: str | None) -> float | None:
    """Return a share from 0 to 1.

    `status` has percent as text with two decimals, rounded to the worse side.
    """
    return None if percent is None else float(Decimal(percent) / 100)


def _labels(labels: Mapping[str, str]) -> str:
    text = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    text = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text.encode("utf-8", "replace").decode()


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
