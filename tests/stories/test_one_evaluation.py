"""Every view of a random history says the same numbers and states.

`make evaluations` plays 500 histories (`SEEDS=…` for another number, `SEED=…` for one of them
again).
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from random_days import DAY, FIRST, HOURLY, MADE_OF, OF_HOURS, OLD, SOURCES, Days, declare

from headrace.compiler.lineage import compile_lineage
from headrace.model import Project
from headrace.project.session import ProjectSession, Silent
from headrace.responses import StatusResponse
from headrace.runtime.evaluation import VersionEvaluator
from headrace.services.apply import apply
from headrace.services.figures import explain
from headrace.services.incidents import incident, incidents
from headrace.services.quarantine import list_quarantine
from headrace.services.run_results import tick
from headrace.services.status import status
from headrace.services.why import why
from headrace.slo.declared_promises import declared_promises
from headrace.store import Transaction
from headrace.store.queries import incidents as stored

pytest.importorskip("headrace_ui")  # its pages have to say the same
from rendered_views import (
    Views,
    differ,
    digest_differs,
    incidents_differ,
    ledgers_differ,
    mail_differs,
    metrics,
    newest_partitions_differ,
    other_windows_differ,
    past_incidents_differ,
    rolled_up_differs,
    runs_differ,
    sources_differ,
)

from headrace_ui.services import nodes as node_pages
from headrace_ui.services.catalog_search import CatalogQuery, catalog
from headrace_ui.services.graph import GraphViewQuery, view
from headrace_ui.services.nodes import PartitionListQuery as Listed
from headrace_ui.services.nodes import list_partitions as listing
from headrace_ui.views.node_cards import Cards

pytestmark = pytest.mark.long

HOLD_OF_WHAT_IS_THERE = 432
"""`status` named the delivery that a consumer waits for, `why` a held input of what it can read."""
ONE_OF_TWO_SOURCES = 25
"""`status` named the source that can't be read, `why` another one that nobody had looked at."""
SEEDS = (
    [int(os.environ["SEED"])]
    if os.environ.get("SEED")
    else sorted(
        {*range(int(os.environ.get("SEEDS", "16"))), HOLD_OF_WHAT_IS_THERE, ONE_OF_TWO_SOURCES}
    )
)
ASSETS = {*MADE_OF, *OLD, OF_HOURS}
GOOD = ("served", "at_risk")
EVER = 1 << 62
LEDGERS = 5
"""Of so many of a consumer's newest deliveries the delay ledgers are compared."""


class Played:
    """The small project, applied once, and once more without one consumer; each history begins with
    its state as it was then.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._begun = datetime.fromtimestamp(FIRST / 1e6, UTC).isoformat()
        declare(root)
        self.judged = self._applied("begun.db", "prod", "dev")
        declare(root, removed=True)
        session = ProjectSession.open(root, "prod", self._begun, "tester")
        assert apply(session, confirm=lambda _: True, progress=Silent()).state == "applied"
        session.close()
        self._without = self._applied("removed.db", "prod", "dev")

    def _applied(self, kept: str, *environments: str) -> VersionEvaluator:
        for name in environments:
            session = ProjectSession.open(self.root, name, self._begun, "tester")
            tick(session, progress=Silent())
            session.close()
        session = ProjectSession.open(self.root, "prod", self._begun, "tester")
        assert session.compiled is not None
        compiled = session.compiled
        session.close()
        for name, state in zip(environments, self._states(), strict=True):
            with sqlite3.connect(state) as opened:
                opened.execute("vacuum into ?", (str(self.root / f"{name}-{kept}"),))
        return VersionEvaluator(
            compiled.project,
            declared_promises(compiled),
            compile_lineage(compiled).of,
            lambda tx, one: None,
        )

    def _states(self) -> list[Path]:
        folder = self.root / ".headrace"
        return [folder / "state.db", folder / "env/dev/state.db"]

    def play(self, days: Days) -> tuple[ProjectSession, Seen]:
        """A history, and what was seen of mails and of ends of incidents on the way."""
        declare(self.root, removed=days.removes)
        kept = "removed.db" if days.removes else "begun.db"
        for name, state in zip(("prod", "dev"), self._states(), strict=True):
            for path in state.parent.glob("state.db*"):
                path.unlink()
            state.write_bytes((self.root / f"{name}-{kept}").read_bytes())
        removed = days.removed_at if days.removes else None

        def in_force(at: int) -> VersionEvaluator:
            return self._without if removed is not None and at >= removed else self.judged

        written, seen = ProjectSession.open(self.root, "prod", None, "tester"), Seen(in_force)
        assert written.store is not None
        days.play(written.store, in_force, seen.judgement)
        written.close()
        return self.session(days, "prod"), seen

    def session(self, days: Days, env: str) -> ProjectSession:
        """What a reader sees at the end."""
        now = datetime.fromtimestamp(days.now / 1e6, UTC).isoformat()
        return ProjectSession.open(self.root, env, now, "tester")


class Seen:
    """Each judgement: what it tells people, against the evaluation of the same time."""

    def __init__(self, judged: Callable[[int], VersionEvaluator]) -> None:
        self._judged, self._told, self._over = judged, 0, set[int]()
        self._new = set[tuple[str, str]]()
        self._digest_at = dict[str, int]()
        self.wrong: list[str] = []

    def judgement(self, tx: Transaction, now: int) -> None:
        judged = self._judged(now)
        result = judged.evaluation(tx, judged.context(tx), now)
        states = {
            consumer.name: [state.value for state in consumer.states]
            for consumer in result.status.consumers
        }
        query = (
            "select id, kind, subject, body, incident_id, recipient from notice where id > ? order"
            " by id"
        )
        zone, rows = (
            judged.project.settings.timezone,
            {consumer.name: consumer for consumer in result.status.consumers},
        )
        for number, kind, subject, body, cause, recipient in tx.execute(
            query, (self._told,)
        ).fetchall():
            self._told = max(self._told, number)
            self.wrong += mail_differs(
                tx,
                (kind, subject, body),
                None if cause is None else stored.get(tx, cause),
                rows,
                zone,
            )
            name = subject.partition("@")[0]
            if kind in ("late", "at_risk") and kind not in states.get(name, []):
                self.wrong.append(
                    f"a mail says that {name} is {kind}, it is {states.get(name, [])}"
                )
            if kind == "resolved" and "All whom it affected are served" in body:
                self._served_again(tx, cause, states, "a mail")
            if kind == "resolved" and stored.get(tx, cause).state != "resolved":  # type: ignore[union-attr]
                self.wrong.append(f"a mail says that INC-{cause} is over")
            if kind == "digest":
                self._digest(body, recipient, states)
                self._complete(tx, judged.project, subject, body, recipient)
        for item in stored.newest(tx):
            if item.state == "resolved" and item.id not in self._over:
                self._over.add(item.id)
                self._ended(tx, item, result.behind, states)
            elif item.state != "resolved":
                self._over.discard(item.id)

    def _digest(self, body: str, recipient: str, states: dict[str, list[str]]) -> None:
        for shown in re.findall(r"^new: (INC-\d+) ", body, re.MULTILINE):
            if (recipient, shown) in self._new:
                self.wrong.append(f"{shown} is new in two digests of {recipient}")
            self._new.add((recipient, shown))
        for name in re.findall(r"^late since .*: (\S+) \(", body, re.MULTILINE):
            if "late" not in states.get(name, []):
                self.wrong.append(f"a digest says that {name} is late")
        for name in re.findall(r"^never served, due since .*: (\S+) \(", body, re.MULTILINE):
            if "never" not in states.get(name, []):
                self.wrong.append(f"a digest says that {name} was never served")

    def _complete(
        self, tx: Transaction, project: Project, subject: str, body: str, recipient: str
    ) -> None:
        until = round(
            datetime.fromisoformat(f"{subject.removeprefix('digest/')}T08:00:00+00:00").timestamp()
            * 1_000_000
        )
        mine = {name for name, item in project.consumers.items() if item.owner == recipient}
        concerned = [
            item
            for item in stored.newest(tx)
            if item.owner == recipient or mine & set(item.affected.consumers)
        ]
        self.wrong += digest_differs(
            tx, body, concerned, self._digest_at.get(recipient, until - DAY), until
        )
        self._digest_at[recipient] = until

    def _ended(
        self,
        tx: Transaction,
        item: stored.Incident,
        behind: frozenset[int],
        states: dict[str, list[str]],
    ) -> None:
        if item.id in behind:
            self.wrong.append(f"{item.label} is resolved, and makes wrong what is read")
        if item.restored_at is None or item.restored_at < item.opened_at:
            self.wrong.append(
                f"{item.label} was restored at {item.restored_at}, before it was opened at"
                f" {item.opened_at}"
            )
        last = stored.timeline_of(tx, item.id)[-1].what
        if "all whom it affected are served" in last:
            self._served_again(tx, item.id, states, "the timeline")

    def _served_again(
        self, tx: Transaction, number: int, states: dict[str, list[str]], who: str
    ) -> None:
        item = stored.get(tx, number)
        assert item is not None
        for name in item.affected.consumers:
            if states.get(name, GOOD)[0] not in GOOD:
                self.wrong.append(
                    f"{who} of {item.label} says that {name} is served, it is"
                    f" {states.get(name, [])}"
                )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("evaluated") / "lab")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_all_views_say_the_same(played: Played, seed: int) -> None:
    """Would catch: a view that derives a state or a total of its own, a mail that `status`
    contradicts, an incident that ends while its readers aren't served, a figure that is rounded
    twice, a headline that leaves out what is open."""
    days = Days(seed)
    session, seen = played.play(days)
    story = f"seed {seed}, {days.length} days, {days.history} loaded: {'; '.join(days.happened)}"
    assert not seen.wrong, f"{story}: {seen.wrong}"
    try:
        assert not (differences := all_differences(session)), f"{story}: {differences}"
    finally:
        session.close()
    environment = played.session(days, "dev")
    try:
        assert not (differences := all_differences(environment)), f"{story}, in dev: {differences}"
    finally:
        environment.close()


def all_differences(session: ProjectSession) -> list[str]:
    """What any two views of one session say differently."""
    shown = Views(session)
    compared = (
        states_differ,
        exports_differ,
        partitions_differ,
        counts_differ,
        past_differs,
        deliveries_differ,
        sentences_differ,
        past_incidents_differ,
        runs_differ,
        ledgers_differ,
        rolled_up_differs,
        other_windows_differ,
    )
    nodes = (*MADE_OF, *SOURCES, HOURLY, OF_HOURS)
    of_nodes = (
        newest_partitions_differ(shown, nodes),
        sources_differ(shown, SOURCES),
        incidents_differ(shown, SOURCES),
    )
    return list(chain(chain.from_iterable(each(shown) for each in compared), *of_nodes))


def states_differ(shown: Views) -> Iterator[str]:
    """Consumers and assets, in every view that has them."""
    session, document = shown.session, shown.status
    graph = {
        card.name: card.state
        for name in (*SOURCES, HOURLY)
        for card in view(session, GraphViewQuery(mode="blast", root=name)).cards
    }
    in_graph = Cards(session).consumer_states()
    for consumer in document.consumers:
        gauged = [
            state
            for state in metrics.CONSUMER_STATES
            if shown.gauge("consumer_state", consumer=consumer.name, state=state) == [1.0]
        ]
        page = node_pages.consumer(session, consumer.name).consumer
        told = why(session, consumer.name)
        row = re.search(rf"^  {consumer.name} +\S.*$", shown.text, re.MULTILINE)
        assert row is not None
        words = re.search(r" (served|at risk|late|wrong|never|unknown) ", row[0])
        assert words is not None
        in_row = words[1].replace(" ", "_")
        yield from differ(
            consumer.name,
            status=consumer.state,
            first=consumer.states[0],
            text=in_row,
            metrics=gauged[0],
            page=page.state,
            why=told.state,
            catalog=in_graph[consumer.name],
            graph=graph[consumer.name],
        )
        yield from differ(
            f"why {consumer.name}",
            status=consumer.reason,
            page=page.reason,
            api=_of(status(session), consumer.name).reason,
        )
        yield from differ(
            f"incident of {consumer.name}", status=consumer.incident, page=page.incident
        )
        for read in consumer.reads:
            asset = node_pages.node(session, read.asset).node
            yield from differ(
                read.asset, status=read.state, page=asset.state, graph=graph[read.asset]
            )


def exports_differ(shown: Views) -> Iterator[str]:
    """What was exported, and the whole of a consumer's row in the API."""
    session = shown.session
    api = status(session)
    yield from differ("headline", status=shown.status.headline, api=api.headline)
    yield from differ("open", status=shown.status.open, api=api.open)
    for consumer in shown.status.consumers:
        page = node_pages.consumer(session, consumer.name).consumer
        yield from differ(
            f"row of {consumer.name}", status=consumer, page=page, api=_of(api, consumer.name)
        )
        if consumer.state == "late" and why(session, consumer.name).open is False:
            yield f"{consumer.name} is late, and why says that it waits for nothing"
        if (
            consumer.incident is not None
            and consumer.state == "late"
            and consumer.due_interval is not None
        ):
            waits = [
                why(session, f"{consumer.name}@{each}")
                for each in (*consumer.backlog, consumer.due_interval)
            ]
            named = {row.incident for each in waits for row in each.segments or []} - {None}
            if named and consumer.incident not in named:
                yield f"{consumer.name} waits for {consumer.incident}, and its ledgers name {named}"


def _of(document: StatusResponse, name: str) -> Any:
    return next(consumer for consumer in document.consumers if consumer.name == name)


def partitions_differ(shown: Views) -> Iterator[str]:
    """What a node's page counts, against all the partitions that it lists."""
    session = shown.session
    for name in (*MADE_OF, *SOURCES, HOURLY, OF_HOURS):
        listed = listing(session, name, Listed(limit=5_000)).partitions
        page = node_pages.node(session, name).partitions
        states = Counter(item.state for item in listed)
        yield from differ(
            f"partitions of {name}",
            listed=sorted(states.items()),
            page=sorted((item.value, item.count) for item in page),
        )


def counts_differ(shown: Views) -> Iterator[str]:
    """What is open, waits or failed."""
    session, document = shown.session, shown.status
    opened = {item.kind: item for item in document.open}
    rows = incidents(session)
    listed = sum(opened[kind].count for kind in ("incident", "data_corrupted") if kind in opened)
    explained = 0 if document.holding is None else document.holding.causes
    if document.holding is not None and explained == len(rows):
        affected = {name for row in rows for name in incident(session, row.id).affected.assets}
        yield from differ("held", status=document.holding.assets, incidents=len(affected))
    of_kind = sum(shown.gauge("incidents_open"))
    opened_lately = explain(session, "incidents").rows
    yield from differ(
        "incidents",
        status=document.incidents_open,
        listed=len(rows),
        metrics=int(of_kind),
        open=listed,
        shown=sum(incident(session, row.id).state != "resolved" for row in rows),
        figure=sum(row.open for row in opened_lately),
    )
    of_figure = {row.id: (row.detect_seconds, row.restore_seconds) for row in opened_lately}
    for item in incidents(session, every=True):
        detect, restore = of_figure[item.id]
        yield from differ(f"detection of {item.id}", incident=item.detect_seconds, figure=detect)
        if item.restore_seconds is not None:
            yield from differ(
                f"restoration of {item.id}", incident=item.restore_seconds, figure=restore
            )
    if explained > len(rows):
        yield f"{explained} causes of {len(rows)} incidents"
    waiting = [
        item for item in list_quarantine(session, None) if item.verdict != "warned"
    ]  # an exception
    in_open = opened["quarantine"].count if "quarantine" in opened else 0
    yield from differ(
        "quarantine", status=document.quarantine.partitions, listed=len(waiting), open=in_open
    )
    staged = explain(session, "goodput").rows
    held = sum(item.rows or 0 for item in waiting if item.verdict == "held")
    yield from differ("held of goodput", listed=held, goodput=sum(row.held for row in staged))
    rows_held = sum(item.rows or 0 for item in waiting)
    yield from differ(
        "held rows",
        status=document.quarantine.rows,
        listed=rows_held,
        metrics=int(shown.gauge("quarantine_rows")[0]),
    )
    yield from differ(
        "held deliveries",
        status=document.quarantine.deliveries,
        metrics=int(shown.gauge("quarantine_deliveries")[0]),
    )
    counts = Counter(
        node.state for node in catalog(session, CatalogQuery()).nodes if node.name in ASSETS
    )
    for state in ("fresh", "behind", "stale", "never"):
        gauged = int(shown.gauge("assets", state=state)[0])
        yield from differ(
            f"{state} assets",
            status=getattr(document.assets, state),
            catalog=counts[state],
            metrics=gauged,
        )
    unserved = [consumer.name for consumer in document.consumers if consumer.state not in GOOD]
    in_open = opened["consumer"].count if "consumer" in opened else 0
    at_risk = sum(consumer.state == "at_risk" for consumer in document.consumers)
    yield from differ(
        "unserved",
        status=document.consumers_unserved,
        counted=len(unserved),
        open=in_open - at_risk,
    )


def past_differs(shown: Views) -> Iterator[str]:
    """Figures about the past: each is the sum, or the share, of the rows that it is
    opened down to.
    """
    session, document = shown.session, shown.status
    spans, promises = explain(session, "availability"), explain(session, "promises")
    for item in (*document.consumers, *document.removed):
        past = item.availability
        assert past is not None
        mine = [row for row in spans.rows if row.consumer == item.name]
        counted = sum(_us(row) for row in mine)
        served = sum(_us(row) for row in mine if row.state in GOOD)
        due = [row for row in promises.rows if row.consumer == item.name]
        yield from differ(f"minutes of {item.name}", status=past.minutes, rows=_minutes(counted))
        if not past.exception_minutes:
            lost = shown.gauge("consumer_lost_seconds", consumer=item.name)
            gauged = int(lost[0]) // 60 if lost else 0
            yield from differ(
                f"lost of {item.name}",
                status=past.lost_minutes,
                rows=_minutes(counted - served),
                metrics=gauged,
            )
            yield from differ(
                f"honest of {item.name}", status=past.honest, rows=_percent(served, counted)
            )
        yield from differ(
            f"promised to {item.name}",
            status=past.promised,
            rows=len(due),
            metrics=int(shown.gauge("consumer_obligations_due", consumer=item.name)[0]),
        )
        yield from differ(
            f"kept to {item.name}",
            status=past.kept,
            rows=sum(row.kept for row in due),
            metrics=int(shown.gauge("consumer_obligations_kept", consumer=item.name)[0]),
        )
        ratio = shown.gauge("consumer_honest_availability_ratio", consumer=item.name)
        yield from differ(f"ratio of {item.name}", status=_ratio(past.honest), metrics=ratio)
        if (past.honest is None) != (not mine) or (
            past.honest is None and past.text != "nothing was due yet"
        ):
            yield f"{item.name} has {past.honest} and {past.text!r} of {len(mine)} spans"
    known = [
        item.availability
        for item in (*document.consumers, *document.removed)
        if item.availability is not None
    ]
    lost = (
        None if document.honest_availability is None else sum(item.lost_minutes for item in known)
    )
    yield from differ(
        "lost",
        status=document.minutes_lost,
        rows=lost,
        metrics=next((int(s) // 60 for s in shown.gauge("lost_seconds")), None),
    )
    yield from differ(
        "kept", status=document.obligations_kept, rows=sum(item.kept for item in known)
    )
    yield from differ(
        "due", status=document.obligations_due, rows=sum(item.promised for item in known)
    )
    worst = min((Decimal(item.honest) for item in known if item.honest is not None), default=None)
    yield from differ(
        "worst", status=document.honest_availability, rows=None if worst is None else str(worst)
    )
    runs = explain(session, "uptime")
    started, succeeded = sum(row.runs for row in runs.rows), sum(row.succeeded for row in runs.rows)
    yield from differ("classic", status=document.classic_uptime, rows=_percent(succeeded, started))


def _us(row: Any) -> int:
    return round((row.until - row.since).total_seconds() * 1_000_000)


def _minutes(us: int) -> int:
    return -(-us // 60_000_000)


def _percent(part: int, whole: int) -> str | None:
    if not whole:
        return None
    tenths = Fraction(part * 1000, whole).__floor__()
    return str((Decimal(tenths) / 10).quantize(Decimal("0.1"), ROUND_FLOOR))


def _ratio(said: str | None) -> list[float]:
    return [] if said is None else [float(Decimal(said) / 100)]


def deliveries_differ(shown: Views) -> Iterator[str]:
    """A consumer's page against the promises that it was kept."""
    promises = explain(shown.session, "promises").rows
    for consumer in shown.status.consumers:
        page = node_pages.consumer(shown.session, consumer.name, limit=400, ledgers=LEDGERS)
        for row in page.deliveries[:LEDGERS]:
            told = why(shown.session, f"{consumer.name}@{row.interval}")
            said = (
                None
                if row.ledger is None
                else (row.ledger.segments, row.ledger.said, row.ledger.shares)
            )
            here = None if told.segments is None else (told.segments, told.said, told.shares)
            yield from differ(f"ledger of {consumer.name}@{row.interval}", page=said, why=here)
        of_page = {row.interval: row for row in page.deliveries}
        taken_back = {row.interval for row in page.deliveries if row.state == "missing"}
        for promise in (row for row in promises if row.consumer == consumer.name):
            row = of_page.get(promise.interval)
            if row is None or promise.interval in taken_back:
                continue
            kept = row.state == "met"
            yield from differ(
                f"{consumer.name}@{promise.interval}",
                promise=(promise.met_at, promise.kept),
                page=(row.met_at, kept),
            )


def sentences_differ(shown: Views) -> Iterator[str]:
    """The headline and the sentences of the past, against the numbers."""
    document, text = shown.status, " ".join(shown.text.split())
    said = document.headline
    if " ".join(said.split()) not in text or document.availability_text not in text:
        yield f"the screen doesn't say {said!r}, or not {document.availability_text!r}"
    if not document.consumers_unserved and "served" not in said:
        yield f"all are served, and it says {said!r}"
    if document.consumers_unserved and re.match(r"(The consumer is|Both|All)", said):
        yield f"{document.consumers_unserved} aren't served, and it says {said!r}"
    held = sum(consumer.state == "wrong" for consumer in document.consumers)
    if held and "Nothing wrong was published" in said:
        yield f"{held} are wrong, and it says {said!r}"
    explained = document.holding is not None
    named = {
        consumer.incident
        for consumer in document.consumers
        if consumer.incident and consumer.state in ("late", "never", "wrong")
    }
    for item in document.open:
        if item.kind == "consumer" or (
            explained and item.kind in ("incident", "quarantine", "failing", "source_unreachable")
        ):
            continue
        if item.kind == "incident" and named:
            if (match := re.search(r"([\d,]+) other incident", said)) is not None and int(
                match[1]
            ) >= item.count:
                yield f"{named} are named by consumers, {item.count} are open, and it says {said!r}"
        elif item.text not in said and not (item.kind == "data_corrupted" and named):
            yield f"{item.text!r} is open, and it says {said!r}"
    if document.honest_availability is None and not document.availability_text.startswith(
        ("nothing was due yet", "nothing is known to be due yet")
    ):
        yield f"no figure, and it says {document.availability_text!r}"
    if document.honest_availability is not None and not document.availability_text.startswith(
        f"{document.honest_availability} %"
    ):
        yield f"{document.honest_availability} %, and it says {document.availability_text!r}"
