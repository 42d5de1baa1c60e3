"""All views of one session, and some of what `test_one_evaluation` compares of them."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.cli.commands.status import _render_status
from headrace.cli.output import CommandOutput, TimeFormatter
from headrace.cli.terminal import NATURAL, Screen
from headrace.incidents import endings
from headrace.incidents.messages import LINE_MAX
from headrace.project.session import ProjectSession
from headrace.services.deliveries import deliveries
from headrace.services.figures import explain
from headrace.services.incidents import incidents
from headrace.services.quarantine import list_quarantine
from headrace.services.status import status
from headrace.services.why import why
from headrace.slo.consumer_states import ConsumerStatus
from headrace.slo.times import ago, dated
from headrace.store import Transaction
from headrace.store.queries.incidents import Incident
from headrace_ui.responses.catalog import PartitionRow
from headrace_ui.services import catalog_search
from headrace_ui.services import nodes as node_pages
from headrace_ui.services.catalog_search import CatalogQuery, catalog
from headrace_ui.services.nodes import PartitionListQuery as Listed
from headrace_ui.services.nodes import list_partitions as listing
from headrace_ui.services.run_pages import RunListQuery, run_list, run_timeline

metrics = pytest.importorskip("headrace_observe.metrics")
GOOD = ("served", "at_risk")
LEDGERS = 6
"""Of so many of a consumer's newest deliveries the delay ledgers are compared."""
NEWEST = 2
"""At most N of a node's newest partitions are asked for one by one, and N that aren't published."""
UNLIKE = ("stale", "failed", "held", "rejected", "withdrawn")
INCIDENT = re.compile(r"INC-\d+")


class Leads:
    role = "leader"
    figures = None


class Views:
    """All views of one session."""

    def __init__(self, session: ProjectSession) -> None:
        self.session = session
        self.status = status(session)
        self.text = self._text()
        lines = metrics.metrics_text(session, Leads())
        self._metrics = {family.name: family for family in text_string_to_metric_families(lines)}

    def _text(self) -> str:
        document = self.status
        reader = TimeFormatter.at(document.now, document.timezone, replay=True)
        screen = Screen(io.StringIO(), no_color=True)
        screen.width = NATURAL
        _render_status(document, CommandOutput(screen, reader))
        return screen.stream.getvalue()  # type: ignore[attr-defined,no-any-return]

    def gauge(self, name: str, **labels: str) -> list[float]:
        result = [
            sample for sample in self._samples(name) if labels.items() <= sample.labels.items()
        ]
        return [float(item.value) for item in result]

    def gauges(self, name: str, label: str) -> dict[str, int]:
        """Of each value of a label, but for those that are 0."""
        result = [sample for sample in self._samples(name) if sample.value]
        return dict(sorted((item.labels[label], int(item.value)) for item in result))

    def _samples(self, name: str) -> list[Any]:
        family = self._metrics.get(f"headrace_{name}")
        return [] if family is None else family.samples


def differ(what: str, **said: Any) -> Iterator[str]:
    """One line where not all of them say the same."""
    if len({repr(value) for value in said.values()}) > 1:
        yield f"{what}: {said}"


def partitions_of(session: ProjectSession, node: str) -> list[PartitionRow]:
    """All of them, newest first."""
    return listing(session, node, Listed(limit=5_000)).partitions


# Incidents


def incidents_differ(shown: Views, sources: Iterable[str]) -> Iterator[str]:
    """Each view that names an incident, against the list of those that are open."""
    session = shown.session
    rows = {incident.id: incident for incident in incidents(session)}
    of_kind = Counter(row.cause.kind for row in rows.values())
    yield from differ(
        "incidents by kind",
        listed=dict(sorted(of_kind.items())),
        metrics=shown.gauges("incidents_open", "kind"),
    )
    for name in sources:
        absent = {row.partition for row in partitions_of(session, name) if row.state == "missing"}
        mine = [row.affected.partitions for row in rows.values() if row.cause.node == name]
        symptoms = chain.from_iterable(row.symptoms for row in rows.values())
        seen = [symptom.partition or "" for symptom in symptoms if symptom.node == name]
        late = {*chain.from_iterable(mine), *seen} & absent
        gauged = int(shown.gauge("source_deliveries_late", source=name)[0])
        yield from differ(f"late deliveries of {name}", incidents=len(late), metrics=gauged)
    for consumer in shown.status.consumers:
        said = why(session, consumer.name)
        named = {consumer.incident, *INCIDENT.findall(f"{consumer.reason} {said.verdict}")} - {None}
        for name in sorted(named):
            if name not in rows:
                yield f"{consumer.name} is {consumer.state} because of {name}, which isn't open"
            elif consumer.name not in rows[name].affected.consumers:
                affected = rows[name].affected.consumers
                yield (
                    f"{consumer.name} is {consumer.state} because of {name}, which affects"
                    f" {affected}"
                )
    for card in catalog(session, CatalogQuery()).nodes:
        own = [row.id for row in rows.values() if row.cause.node == card.name]
        held_by = [row.id for row in rows.values() if card.name in row.affected.assets]
        first = next(iter(own + held_by), None)
        yield from differ(f"incident of {card.name}", card=card.incident, first=first)


def past_incidents_differ(shown: Views) -> Iterator[str]:
    """The figure of incidents, and all of them, in themselves and in search."""
    session = shown.session
    figure = explain(session, "incidents")
    count, open_ones = len(figure.rows), sum(row.open for row in figure.rows)
    again = sum(row.recurrence_of is not None for row in figure.rows)
    words = f"{count} incident{'s' if count > 1 else ''}, {open_ones} open; recurrences: {again}"
    words = words if count else "no incident: no data"
    yield from differ("incidents of the figure", said=figure.said[0], rows=words)
    every = {incident.id: incident for incident in incidents(session, every=True)}
    yield from differ(
        "recurrences",
        figure=again,
        listed=sum(item.recurrence_of is not None for item in every.values()),
    )
    for item in every.values():
        over = item.state == "resolved"
        if over != (item.ended is not None) or over != (item.resolved_at is not None):
            yield f"{item.id} is {item.state}, ended {item.ended!r} at {item.resolved_at}"
        if not over and item.restored_at is not None:
            yield f"{item.id} is {item.state}, and restored at {item.restored_at}"
        times = [
            item.began_at,
            item.opened_at,
            *([item.restored_at] if item.restored_at else []),
            *([item.resolved_at] if item.resolved_at else []),
        ]
        if times != sorted(times):
            yield f"{item.id}: began, opened, restored, resolved {times}"
        every_row = catalog_search.search(session, item.id).found
        result = [row for row in every_row if row.kind == "incident"]
        yield from differ(
            f"summary of {item.id}", incident=item.cause.summary, search=result[0].said
        )


# Ledgers


def ledgers_differ(shown: Views) -> Iterator[str]:
    """A delivery on a consumer's page against its ledger, and each ledger's parts against it."""
    for consumer in shown.status.consumers:
        page = node_pages.consumer(shown.session, consumer.name, limit=LEDGERS, ledgers=LEDGERS)
        for row in page.deliveries:
            if (ledger := row.ledger) is None:
                continue
            name = f"{consumer.name}@{row.interval}"
            waits = row.state in ("missing", "due")
            yield from differ(f"{name} is open", page=waits, ledger=ledger.open)
            if row.met_at is not None:
                met_at = max(row.met_at, ledger.from_)
                yield from differ(f"{name} was met", page=met_at, ledger=ledger.to)
            whole, ours = _us_of([ledger.wait_seconds]), _us_of([ledger.overhead_seconds])
            segments = _us_of(part.seconds for part in ledger.segments)
            shares = _us_of(part.seconds for part in ledger.shares)
            headrace = _us_of(part.seconds for part in ledger.shares if part.owner == "headrace")
            parts = _us_of(ledger.overhead.values())
            yield from differ(f"wait of {name}", whole=whole, segments=segments, shares=shares)
            yield from differ(f"Headrace's part of {name}", whole=ours, parts=parts, share=headrace)


def _us_of(seconds: Iterable[float]) -> int:
    return sum(round(item * 1_000_000) for item in seconds)


# Partitions


def newest_partitions_differ(shown: Views, nodes: Iterable[str]) -> Iterator[str]:
    """A node's newest partitions: in its list, by `why`, on its card."""
    session = shown.session
    waiting = {item.node for item in list_quarantine(session, None) if item.verdict != "warned"}
    failing = Counter[str]()
    proposed = {row.node: row.partitions for row in shown.status.proposed}
    for name in nodes:
        page = partitions_of(session, name)
        card = node_pages.node(session, name).node
        published = next((item for item in page if item.seen), None)
        on_card, listed = (card.data_through, card.rows, card.verdict), (None, None, None)
        if published is not None:
            listed = (published.partition, published.rows, published.verdict)
        yield from differ(f"newest of {name}", listed=listed, card=on_card)
        yield from differ(
            f"{name} in quarantine",
            card=card.quarantined,
            listed=name in waiting,
        )
        stale = sum(item.stale for item in page)
        if proposed.get(name, 0) > stale:
            yield f"{proposed[name]} partitions of {name} are proposed, {stale} are stale"
        failing[name] = sum(item.state == "failed" for item in page)
        idle = [row for row in page if row.state != "running"]
        unlike = [row for row in idle[NEWEST:] if row.state in UNLIKE]
        for item in (*idle[:NEWEST], *unlike[:NEWEST]):
            said = why(session, f"{name}@{item.partition}").state
            shown_as = "published" if item.state in ("warned", "unchecked") else item.state
            yield from differ(f"{name}@{item.partition}", listed=shown_as, why=said)
    in_open = {row.kind: row for row in shown.status.open}
    named = set(in_open["failing"].nodes) if "failing" in in_open else set()
    yield from differ(
        "failing",
        status=sorted(named & set(failing)),
        listed=sorted(name for name, count in failing.items() if count),
    )
    count = sum(in_open[kind].count for kind in ("superseded_upstream", "stale") if kind in in_open)
    yield from differ("superseded", open=count, proposed=sum(proposed.values()))


def sources_differ(shown: Views, sources: Iterable[str]) -> Iterator[str]:
    """Scores of sources against their deliveries, and failed observations against what is open."""
    session = shown.session
    scores = {row.source: row for row in explain(session, "sources").rows}
    for name in sources:
        rows, score = deliveries(session, name, limit=5_000), scores[name]
        first: dict[str, Any] = {}
        for row in rows:
            if row.partition not in first or row.at < first[row.partition].at:
                first[row.partition] = row
        due = {key: row.expected_at if row.promised else None for key, row in first.items()}
        late = [row for key, row in first.items() if (by := due[key]) is not None and row.at > by]
        punctual = len(first) - len(late)
        missed = sum(row.claimed_at < row.observed_at for row in late)  # others may have been there
        yield from differ(f"deliveries of {name}", listed=len(rows), scored=score.deliveries)
        over = [by for by in due.values() if by is None or by <= shown.status.now]
        if len(over) == len(first):
            listed = min(max(score.on_time, punctual), len(first) - missed)
            yield from differ(f"{name} on time", listed=listed, scored=score.on_time)
        yield from differ(f"{name} expected", scored=score.expected, sums=score.missing + len(over))
    unread = {row.kind: set(row.nodes) for row in shown.status.open}
    named = unread.get("source_unreachable", set()) | unread.get("source_throttled", set())
    yield from differ(
        "unread sources",
        open=sorted(named),
        metrics=sorted(shown.gauges("source_look_failed", "source")),
    )


# Runs


def runs_differ(shown: Views) -> Iterator[str]:
    """The list of runs, each by itself, and the figure of them."""
    session = shown.session
    figure = explain(session, "uptime")
    listed = run_list(session, RunListQuery(), limit=200).runs
    within = [
        item
        for item in listed
        if figure.began <= item.started_at <= figure.until and item.state != "nothing_due"
    ]
    yield from differ(
        "runs started",
        status=shown.status.runs_started,
        figure=sum(row.runs for row in figure.rows),
        listed=len(within),
    )
    said = figure.said[0].partition(";")[0]
    good, started = sum(row.succeeded for row in figure.rows), sum(row.runs for row in figure.rows)
    percent = shown.status.classic_uptime
    words = f"{good} of {started} runs that started succeeded: {percent} %"
    words = "no run had anything due" if percent is None else words
    yield from differ("uptime in words", figure=said, status=words)
    yield from differ("uptime", status=ratio(percent), metrics=shown.gauge("classic_uptime_ratio"))
    for item in listed:
        page = run_timeline(session, item.run_id, None, 5_000)
        of_page = Counter(row.state for row in page.attempts)
        counted = {row.value: row.count for row in item.attempts}
        yield from differ(
            f"attempts of run {item.run_id}",
            list=sorted(counted.items()),
            counts=sorted(page.counts.items()),
            rows=sorted(of_page.items()),
        )
        yield from differ(f"state of run {item.run_id}", list=item.state, page=page.state)
        failed = run_timeline(session, item.run_id, None, 5_000, failed=True).attempts
        unpublished = f"unpublished of run {item.run_id}"
        yield from differ(unpublished, count=page.unpublished, rows=len(failed))


def ratio(said: str | None) -> list[float]:
    return [] if said is None else [float(Decimal(said) / 100)]


# Figures about the past


def rolled_up_differs(shown: Views) -> Iterator[str]:
    """What owners answer for, against consumers and nodes; and what the figures say in words."""
    session, document = shown.session, shown.status
    nodes = {row.of: row for row in explain(session, "nodes").rows}
    kept = {consumer.name: consumer for consumer in document.consumers}
    for row in explain(session, "owners").rows:
        mine = [item.availability for item in kept.values() if item.owner == row.of]
        of_nodes = [node for node in nodes.values() if node.owner == row.of]
        known = [
            item for item in (*mine, *of_nodes) if item is not None and item.honest is not None
        ]
        ratios = [Decimal(item.honest or 0) for item in known]
        lost = sum(item.lost_minutes for item in known)
        yield from differ(f"lost of {row.of}", figure=row.lost_minutes, rows=lost)
        worst = str(min(ratios)) if ratios else None
        yield from differ(f"worst of {row.of}", figure=row.honest, rows=worst)
    said = explain(session, "availability").said
    past = [(item.name, item.availability) for item in (*document.consumers, *document.removed)]
    for line, (name, item) in zip(said, past, strict=True):
        assert item is not None
        if not line.startswith(f"{name}: {item.text}"):
            yield f"the figure says {line!r}, status says {item.text!r} of {name}"
    (words,) = explain(session, "promises").said
    due, in_time = document.obligations_due, document.obligations_kept
    kept_words = f"{in_time} of {due} promises were kept in time"
    yield from differ("promises in words", figure=words, status=kept_words)
    for name, item in past:
        assert item is not None
        yield from differ(
            f"claimed ratio of {name}",
            status=ratio(item.claimed),
            metrics=shown.gauge("consumer_claimed_availability_ratio", consumer=name),
        )
    yield from differ(
        "honest ratio",
        status=ratio(document.honest_availability),
        metrics=shown.gauge("honest_availability_ratio"),
    )
    for name, item in kept.items():
        yield from differ(
            f"backlog of {name}",
            status=float(len(item.backlog)),
            metrics=shown.gauge("consumer_backlog", consumer=name)[0],
        )
    yield from differ(
        "unchecked",
        status=document.assets.unchecked,
        metrics=int(shown.gauge("assets_unchecked")[0]),
    )


def other_windows_differ(shown: Views) -> Iterator[str]:
    """A selection, and a shorter window: the same states, and figures that are of them alone."""
    session, document = shown.session, shown.status
    of_kind = {row.kind: row for row in document.open if row.kind != "consumer"}
    week = status(session, window="2d")
    spans = explain(session, "availability", window="2d").rows
    due = explain(session, "promises", window="2d").rows
    for item, whole in zip(week.consumers, document.consumers, strict=True):
        yield from differ(f"{item.name} in two windows", short=row_of(item), long=row_of(whole))
        past = item.availability
        assert past is not None
        counted = sum(_us(row) for row in spans if row.consumer == item.name)
        mine = [row for row in spans if row.consumer == item.name]
        served = sum(_us(row) for row in mine if row.state in GOOD and not row.by_exception)
        yield from differ(
            f"2 days of {item.name}",
            status=(past.minutes, past.lost_minutes),
            rows=(_minutes(counted), _minutes(counted - served)),
        )
        yield from differ(
            f"2 days promised to {item.name}",
            status=past.promised,
            rows=sum(row.consumer == item.name for row in due),
        )
    for whole in document.consumers:
        alone = status(session, [whole.name])
        (item,) = alone.consumers
        yield from differ(f"{whole.name} alone", alone=item, among=whole)
        past = item.availability
        assert past is not None
        mine = (None, None) if past.honest is None else (past.honest, past.lost_minutes)
        yield from differ(
            f"figures of {whole.name} alone",
            document=(alone.honest_availability, alone.minutes_lost),
            row=mine,
        )
        others = {row.kind: row for row in alone.open if row.kind != "consumer"}
        yield from differ(f"open beside {whole.name}", alone=others, among=of_kind)


def row_of(item: Any) -> tuple[Any, ...]:
    """A consumer's row without its past."""
    return tuple(getattr(item, name) for name in item.__struct_fields__ if name != "availability")


def _us(row: Any) -> int:
    return round((row.until - row.since).total_seconds() * 1_000_000)


def _minutes(us: int) -> int:
    return -(-us // 60_000_000)


# Mails


def mail_differs(
    tx: Transaction,
    mail: tuple[str, str, str],
    item: Incident | None,
    states: Mapping[str, ConsumerStatus],
    zone: str,
) -> Iterator[str]:
    """What a mail says of a consumer or an incident, against what is so when it is written."""
    kind, subject, body = mail
    text = " ".join(body.split())
    name, _, rest = subject.partition("@")
    if kind == "late" and name in states and states[name].state == "late":
        yield from differ(f"mail: late since, {name}", mail=int(rest), status=states[name].since_us)
    if kind == "at_risk" and name in states and (risk := states[name].risk) is not None:
        yield from differ(f"mail: at risk, {name}", mail=rest, status=risk.interval)
        if f"due at {dated(risk.due_us, zone)}" not in text:
            at = dated(risk.due_us, zone)
            yield f"the mail of {subject} doesn't say that it is due at {at}: {text!r}"
    if item is None:
        return
    if kind in ("opened", "changed", "escalated"):
        reach = (len(item.affected.assets), len(item.affected.consumers))
        result = re.search(r"reaches (\d+) assets? and (\d+) consumers?", text)
        yield from differ(
            f"mail: reach of {item.label}",
            mail=tuple(map(int, result.groups())) if result else (0, 0),
            incident=reach,
        )
    if kind == "resolved":
        ended = " ".join(endings.ending_of(tx, item).split())
        restored = item.restored_at or item.resolved_at or 0
        item = endings.as_opened_last(tx, item)
        found = item.opened_at - item.began_at
        for said in (
            ended[: LINE_MAX // 2],
            f"Found {ago(found)} after it began." if found > 0 else "Found at once.",
            f"Over at {dated(restored, zone)}, {ago(restored - item.began_at)} after it began.",
        ):
            if said not in text:
                yield f"the mail that {item.label} is over doesn't say {said!r}: {text!r}"


def digest_differs(
    tx: Transaction, body: str, result: Iterable[Incident], after: int, until: int
) -> Iterator[str]:
    """Each incident that was open between two digests is in one line of the later, by its name or
    in a count of more. A digest that is made late says nothing of one that was opened again since
    it was due."""
    lines = [
        line for line in body.splitlines() if re.match(r"(new|over|open again|open still): ", line)
    ]
    named = Counter(
        chain.from_iterable(INCIDENT.findall(line.partition(". ")[0]) for line in lines)
    )
    more = sum(
        int(count) for count in re.findall(r"^open still: .* and (\d+) more$", body, re.MULTILINE)
    )
    unnamed = 0
    for item in result:
        periods = endings.periods(tx, item)
        open_then = any(
            each.opened_at <= until and (each.resolved_at is None or each.resolved_at > after)
            for each in periods
        )
        if open_then and not named[item.label]:
            unnamed += 1
        else:
            yield from differ(
                f"{item.label} in the digest",
                lines=min(named[item.label], 2),
                expected=int(open_then),
            )
    yield from differ("incidents that the digest only counts", counted=more, unnamed=unnamed)
