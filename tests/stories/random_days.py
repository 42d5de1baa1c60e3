"""Random days of a small project, written into a real store as a leader would have written them.

Three sources (one by the hour), five assets (nobody reads `side`), six consumers: one is exported
to, one is removed in some histories with all that it reads. Things go wrong, are repaired in every
way that there is, and the leader judges after each of its passes (`runtime.evaluation`). No worker
runs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from headrace.incidents.evidence.records import report_publications
from headrace.model import Grain
from headrace.model.intervals import key_at_us
from headrace.runtime.evaluation import VersionEvaluator, evaluate_state
from headrace.slo.freshness import known_until
from headrace.store import Store, Transaction
from headrace.store.queries import availability, deliveries, publications, scheduling
from headrace.store.queries.scheduling import Pause

HOUR = 3_600_000_000
DAY = 24 * HOUR
FIRST = 1_735_689_600_000_000
"""2025-01-01 in UTC, when the project is applied."""
SOURCES = ("orders", "rates")
HOURLY, OF_HOURS = "clicks", "hourly"
EXPORTED, EXPORTED_FROM = "extract", "money"
REMOVED = "gone"
MADE_OF = {"clean": ("orders",), "money": ("orders", "rates"), "side": ("orders",)}
OLD = {"spare": ("orders",)}
"""What is removed with its reader."""
FACTS = ("null_spike", "volume_anomaly", "distribution_shift", "schema_change", "duplicate_rows")
FAULTS = (
    "held",
    "held",
    "rejected",
    "late",
    "missing",
    "failed",
    "reported",
    "restated",
    "warned",
    "broken_look",
    "throttled",
    "superseded",
    "lost",
    "skipped",
    "unreachable",
    "throttled_long",
    "export_failed",
    "export_old",
    "paused",
)
REPAIRS = ("fix", "accept", "redelivery", "drop", "retry", "backfill", "unpublish", "waive", "none")


def declare(root: Path, *, removed: bool = False) -> None:
    """Write the project's files; `removed`: without one consumer and what it alone reads."""

    def write(path: str, text: str) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")

    write(
        "headrace.toml",
        '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 1\n[environments.dev]\n',
    )
    write(
        "owners.yaml",
        "core: {kind: team, contact: ['mailto:core@example.com'], digest: '08:00'}\n"
        "readers: {kind: team, contact: ['mailto:readers@example.com']}\n"
        "acme: {kind: vendor}\n",
    )
    for name in SOURCES:
        write(
            f"sources/{name}.yaml",
            f"source: {name}\nowner: acme\npartition: day\nexpect: {{by: '05:00'}}\nfiles:"
            f" landing/{name}_{{date:%Y-%m-%d}}.csv\n",
        )
    write(
        f"sources/{HOURLY}.yaml",
        f"source: {HOURLY}\nowner: acme\npartition: hour\nfiles:"
        f" landing/{HOURLY}_{{date:%Y-%m-%dT%H}}.csv\n",
    )
    write(
        f"assets/{OF_HOURS}.sql",
        "/* headrace\nowner: core\npartition: {by: hour, column: began}\n*/\nselect began, n"
        f" from {HOURLY}\n",
    )
    head = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
    write("assets/clean.sql", f"{head}select day, x from orders\n")
    write("assets/side.sql", f"{head}select day, x from orders\n")
    write(
        "assets/money.sql",
        f"{head}select o.day, o.x * r.x as x from orders o join rates r using (day)\n",
    )
    if removed:
        (root / "assets/spare.sql").unlink(missing_ok=True)
    else:
        write("assets/spare.sql", f"{head}select day, x from orders\n")
    gone = (
        ""
        if removed
        else f"- {{consumer: {REMOVED}, owner: readers, reads: [spare], due: '08:00'}}\n"
    )
    write(
        "consumers.yaml",
        f"- {{consumer: ticker, owner: readers, reads: [{OF_HOURS}], per: hour, due: '+30m'}}\n"
        f"- {{consumer: {EXPORTED}, owner: core, reads: [{EXPORTED_FROM}], due: '10:00',"
        " export: {to: 'out/money_{date:%Y-%m-%d}.csv'}}\n"
        f"{gone}"
        "- {consumer: report, owner: core, reads: [money], due: '07:00'}\n"
        "- {consumer: board, owner: readers, reads: [clean], max_age: 30h}\n"
        "- {consumer: feed, owner: readers, reads: [clean, money], due: '09:00'}\n",
    )


def hour_key(hour: int) -> str:
    """The hour's partition, counted from the first day on."""
    return key_at_us(FIRST + hour * HOUR, Grain.HOUR, "UTC")


def key(day: int) -> str:
    """The day's partition."""
    return datetime.fromtimestamp((FIRST + day * DAY) / 1e6, UTC).date().isoformat()


def is_ready(tx: Transaction, asset: str, day: int) -> bool:
    """Whether all that it is made of is published."""
    above = {**MADE_OF, **OLD}[asset]
    return all(publications.current(tx, item, key(day)) is not None for item in above)


def is_paused(tx: Transaction, node: str, now: int) -> bool:
    return any(item.node == node for item in scheduling.pauses_in_force(tx, now))


@dataclass(order=True)
class Event:
    """Something that happens at a time; `number` keeps the order of those at the same time."""

    at: int
    number: int
    what: Callable[[Transaction, int], None]


class Days:
    """One history. `happened` names its faults and repairs, for whoever reads a failure."""

    def __init__(self, seed: int) -> None:
        self._random, self._unseen = random.Random(seed), random.Random(seed)
        self.happened: list[str] = []
        self.events: list[Event] = []
        self._n = self._snapshot = self._revision = self._run = 0
        self._bad: set[tuple[str, str]] = set()
        choose = self._random
        self.length = choose.choice([0, 1, 2, 3, 4, 6, 8])
        self.history = choose.choice([0, 0, 0, 5, 15])
        """Days before the promise that are loaded at once."""
        self.hours = choose.choice([0, 0, 5, 26])
        """So many hours of the source by the hour are delivered."""
        self.removed_at: int | None = None
        self._down: dict[str, tuple[int, int, str]] = {}
        self.promised_at = FIRST + choose.choice([0, 0, 7 * HOUR, DAY])
        if self.length or self.history:
            self._plan()
        self.now = max((event.at for event in self.events), default=FIRST) + choose.choice(
            [0, HOUR, 9 * HOUR, 30 * HOUR]
        )
        if self.length > 1 and choose.random() < 0.3:
            self.removed_at = FIRST + choose.randrange(DAY, self.length * DAY)
            self._at(self.removed_at, self._remove)
            self.happened.append(f"{REMOVED} is removed")
        self.events = [event for event in sorted(self.events) if event.at <= self.now]

    # What happens

    def _plan(self) -> None:
        choose = self._random
        loaded = FIRST + choose.randrange(60) * 60_000_000
        for day in range(-self.history, 0):
            for source in SOURCES:
                self._arrive(source, day, loaded)
            self._pass(loaded + HOUR // 4, day)
        cadence = choose.choice([2, 6, 26])
        for hour in range(0, self.length * 24 + 24, cadence):
            if choose.random() < 0.95:
                self._at(FIRST + hour * HOUR, self._observe)
        faults = {
            day: choose.sample(FAULTS, choose.choice([1, 2, 3]))
            for day in range(self.length)
            if choose.random() < 0.8
        }
        for day in range(self.length):
            self._one_day(day, faults.get(day, []))
        for hour in range(self.hours if self.length else 0):
            if choose.random() < 0.9:
                came = FIRST + (hour + 1) * HOUR + choose.choice([5, 10, 50, 200]) * HOUR // 60
                self._at(came, lambda tx, now, hour=hour: self._of_hour(tx, hour, now))

    def _one_day(self, day: int, faults: list[str]) -> None:
        choose = self._random
        ended = FIRST + (day + 1) * DAY
        came = ended + choose.randrange(1, 5) * HOUR
        where = dict(zip(faults, choose.choices(SOURCES, k=len(faults)), strict=True))
        for source in SOURCES:
            mine = [fault for fault, place in where.items() if place == source]
            at = came + choose.randrange(60) * 60_000_000
            if "missing" in mine:
                continue
            if "late" in mine:
                at += choose.choice([3, 6, 20, 40]) * HOUR
            state = next((item for item in ("held", "rejected") if item in mine), "published")
            self._arrive(source, day, at, state, warned="warned" in mine)
            self._pass(at + HOUR // 4, day)
            for fault in mine:
                self._fault(fault, source, day, at)

    def _fault(self, fault: str, source: str, day: int, at: int) -> None:
        choose = self._random
        later = at + choose.choice([1, 3, 9, 25]) * HOUR
        repair = choose.choice(REPAIRS)
        self.happened.append(f"{fault} of {source} {key(day)}, then {repair}")
        asset = choose.choice([name for name, above in MADE_OF.items() if source in above])
        match fault:
            case "held" | "rejected":
                self._repair(repair, source, day, later)
            case "failed":
                self._at(at + HOUR // 2, lambda tx, now: self._fails(tx, asset, day, now))
                if repair != "none":
                    self._at(later, lambda tx, now: self._publish(tx, asset, key(day), now))
            case "lost" | "skipped":
                state = fault
                self._at(at + HOUR // 2, lambda tx, now: self._in_vain(tx, asset, day, state, now))
            case "reported":
                self._at(later, lambda tx, now: self._report(tx, source, day, now))
                if repair != "none":
                    self._arrive(source, day, later + 2 * HOUR)
                    self._pass(later + 2 * HOUR + HOUR // 4, day, again=True)
            case "restated":
                self._arrive(source, day, later)
                self._pass(later + HOUR // 4, day, again=True)
            case "superseded":
                self._at(later, lambda tx, now: self._propose(tx, asset, day))
            case "unreachable" | "throttled_long" | "broken_look" | "throttled":
                self._unread(fault, source, later)
            case "export_failed" | "export_old" | "paused":
                self._of_what_is_made(fault, day, at, later, repaired=repair != "none")
            case _:
                if repair == "waive":
                    self._at(later, lambda tx, now: self._waive(tx, day, now))

    def _paused(self, day: int, at: int, later: int, *, resumed: bool) -> None:
        """An asset, or an export, until somebody resumes it, or until a time."""
        node = self._random.choice([*MADE_OF, EXPORTED])
        until = self._random.choice([None, later])
        pause = Pause(node, "being looked at", "ann", at, until)
        self._at(at, lambda tx, now: scheduling.put_pauses(tx, [pause]))
        if resumed and until is None:
            self._at(later, lambda tx, now: scheduling.end_pauses(tx, [node], now))
        self._pass(later + HOUR // 4, day)

    def _unread(self, fault: str, source: str, later: int) -> None:
        """Once, or for long."""
        code = "source_throttled" if fault.startswith("throttled") else "connection"
        if fault in ("unreachable", "throttled_long"):
            self._down[source] = (later, later + self._random.choice([5, 20, 60]) * HOUR, code)
        else:
            self._at(later, lambda tx, now: self._look(tx, source, now, code))

    def _of_what_is_made(
        self, fault: str, day: int, at: int, later: int, *, repaired: bool
    ) -> None:
        if fault == "paused":
            self._paused(day, at, later, resumed=repaired)
            return
        if fault == "export_old":
            self._at(later, lambda tx, now: self._export_old(tx, day))
            return
        self._at(at + HOUR, lambda tx, now: self._export_fails(tx, day, now))
        if repaired:
            self._at(later + HOUR, lambda tx, now: self._export(tx, day, now, again=True))

    def _repair(self, repair: str, source: str, day: int, at: int) -> None:
        match repair:
            case "fix" | "backfill":
                self._at(at, lambda tx, now: self._planned(tx, source, day, now))
            case "accept":
                until = self._random.choice([None, at + 5 * HOUR])
                actor = self._random.choice(["core", "readers", "acme", "somebody"])
                self._at(at, lambda tx, now: self._accept(tx, source, day, now, actor, until))
                self._pass(at + HOUR // 4, day)
            case "redelivery" | "retry":
                self._arrive(source, day, at)
                self._pass(at + HOUR // 4, day)
            case "drop":
                self._at(at, lambda tx, now: self._decide(tx, source, key(day), "dropped"))
            case "unpublish":
                self._arrive(source, day, at)
                self._pass(at + HOUR // 4, day)
                self._at(at + HOUR, lambda tx, now: self._withdraw(tx, source, day, now))
            case "waive":
                self._at(at, lambda tx, now: self._waive(tx, day, now))

    def _at(self, at: int, what: Callable[[Transaction, int], None]) -> None:
        self.events.append(Event(at, len(self.events), what))

    def _arrive(
        self, source: str, day: int, at: int, state: str = "published", *, warned: bool = False
    ) -> None:
        self._at(at, lambda tx, now: self._ingest(tx, source, day, now, state, warned=warned))

    def _pass(self, at: int, day: int, *, again: bool = False) -> None:
        self._at(at, lambda tx, now: self._compute(tx, day, now, again=again))

    # What a leader writes

    def _observe(self, tx: Transaction, now: int) -> None:
        scheduling.end_expired_pauses(tx, now)
        for source in (*SOURCES, HOURLY):
            self._look(tx, source, now)

    def _look(self, tx: Transaction, source: str, now: int, code: str | None = None) -> None:
        availability.note_gap(tx, source, now, known_until)
        since, until, error_code = self._down.get(source, (0, 0, ""))
        code = error_code if since <= now < until else code
        error = None if code is None else "it failed"
        tx.execute(
            "insert into look (source, at, found, error, code) values (?, ?, 0, ?, ?) on conflict"
            " do nothing",
            (source, now, error, code),
        )

    def _ingest(
        self, tx: Transaction, source: str, day: int, now: int, state: str, *, warned: bool
    ) -> None:
        since, until, _ = self._down.get(source, (0, 0, ""))
        self._look(tx, source, now)
        if since <= now < until:
            return  # nothing can be fetched
        known = key(day)
        delivery = self._delivered(tx, source, known, now, state)
        self._decide(tx, source, known, "superseded")
        if state == "published":
            self._publish(
                tx, source, known, now, delivery=delivery, verdict="warned" if warned else "passed"
            )
            if warned:
                self._fact(tx, source, known, now, "warn")
            return
        rows = self._random.randrange(1, 50)
        n = self._attempt(tx, source, known, state, now, rows=rows)
        if state == "held":
            self._fact(tx, source, known, now, "hold")
        tx.execute(
            "insert into quarantine (node, partition, epoch, n, state, reason, rows, delivery_id,"
            " at) values (?, ?, 1, ?, ?, 'odd', ?, ?, ?)",
            (source, known, n, state, rows, delivery, now),
        )
        self._stand(tx, source, known, state, now)

    def _delivered(self, tx: Transaction, source: str, known: str, now: int, state: str) -> int:
        """Now, or up to an hour ago: it lay unseen since then, or since the observation before."""
        before = tx.execute(
            "select max(at) from look where source = ? and at < ?", (source, now)
        ).fetchone()
        arrived = max(before[0] or 0, now - self._unseen.choice([0, HOUR // 6, HOUR]))
        number = tx.execute(
            "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at,"
            " observed_at, arrived_at, state) values (?, ?, 'x', 0, 0, ?, ?, ?, ?)",
            (source, known, arrived, now, arrived, state),
        ).lastrowid
        assert number is not None
        return number

    def _compute(self, tx: Transaction, day: int, now: int, *, again: bool) -> None:
        made_of = (
            MADE_OF
            if self.removed_at is not None and now >= self.removed_at
            else {**MADE_OF, **OLD}
        )
        for asset in made_of:
            there = publications.current(tx, asset, key(day)) is not None
            if not is_ready(tx, asset, day) or is_paused(tx, asset, now):
                continue
            if (again or not there) and (asset, key(day)) not in self._bad:
                self._publish(
                    tx, asset, key(day), now, identical=again and self._random.random() < 0.2
                )
        self._export(tx, day, now, again=again)

    def _export(self, tx: Transaction, day: int, now: int, *, again: bool = False) -> None:
        there = publications.current(tx, EXPORTED, key(day)) is not None
        if is_paused(tx, EXPORTED, now):
            return
        if publications.current(tx, EXPORTED_FROM, key(day)) is not None and (again or not there):
            self._publish(tx, EXPORTED, key(day), now, verdict="unchecked")

    def _export_fails(self, tx: Transaction, day: int, now: int) -> None:
        """It is tried again and again: the partition waits, with the reason."""
        if publications.current(tx, EXPORTED, key(day)) is not None:
            return
        self._attempt(
            tx,
            EXPORTED,
            key(day),
            "failed",
            now,
            rows=0,
            error='{"kind": "transient", "message": "no space"}',
        )
        self._stand(tx, EXPORTED, key(day), "waiting", now)
        tx.execute(
            "update partition set reason = 'no space' where node = ? and partition = ?",
            (EXPORTED, key(day)),
        )

    def _export_old(self, tx: Transaction, day: int) -> None:
        """What was exported was corrected since."""
        tx.execute(
            "update partition set stale = 1, revision = ? where node = ? and partition = ? and"
            " publication_id is not null",
            (self._next_revision(tx), EXPORTED, key(day)),
        )

    def _of_hour(self, tx: Transaction, hour: int, now: int) -> None:
        self._look(tx, HOURLY, now)
        delivery = self._delivered(tx, HOURLY, hour_key(hour), now, "published")
        self._publish(tx, HOURLY, hour_key(hour), now, delivery=delivery)
        self._publish(tx, OF_HOURS, hour_key(hour), now)

    def _remove(self, tx: Transaction, now: int) -> None:
        tx.execute("update promise set until_at = ? where consumer = ?", (now, REMOVED))

    def _planned(self, tx: Transaction, source: str, day: int, now: int) -> None:
        """A backfill publishes the delivery, if there is one, and all that is made of it in one
        snapshot.
        """
        if not deliveries.has_arrived(tx, source, key(day)):
            return
        self._run += 1
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at, finished_at, plan_id)"
            " values (?, 'backfill', '{}', 'ann', 'succeeded', ?, ?, 1)",
            (1000 + self._run, now, now),
        )
        snapshot = self._snapshot + 1
        self._decide(tx, source, key(day), "released")
        below = [name for name, above in MADE_OF.items() if source in above]
        for node in (source, *below, EXPORTED):
            above = MADE_OF.get(node, (EXPORTED_FROM,) if node == EXPORTED else ())
            ready = all(publications.current(tx, item, key(day)) is not None for item in above)
            if ready and not is_paused(tx, node, now):
                self._publish(tx, node, key(day), now, snapshot=snapshot, run=1000 + self._run)

    def _accept(
        self, tx: Transaction, source: str, day: int, now: int, actor: str, until: int | None
    ) -> None:
        row = tx.execute(
            "select id from quarantine where node = ? and partition = ? and state in ('held',"
            " 'rejected')",
            (source, key(day)),
        ).fetchone()
        if row is None:
            return
        self._decide(tx, source, key(day), "released")
        number = self._publish(tx, source, key(day), now)
        tx.execute(
            "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason,"
            " at, until) values (?, ?, ?, ?, ?, 'needed', ?, ?)",
            (source, key(day), row[0], number, actor, now, until),
        )

    def _withdraw(self, tx: Transaction, node: str, day: int, now: int) -> None:
        if publications.current(tx, node, key(day)) is None:
            return
        self._snapshot += 1
        where = "where node = ? and partition = ?"
        tx.execute(
            f"update publication set ended_snapshot = ?, ended_at = ? {where} and ended_snapshot is"
            " null",
            (self._snapshot, now, node, key(day)),
        )
        tx.execute(
            "insert into withdrawal (node, partition, at) values (?, ?, ?)", (node, key(day), now)
        )
        self._stand(tx, node, key(day), "withdrawn", now)

    def _waive(self, tx: Transaction, day: int, now: int) -> None:
        for consumer in ("report", "feed"):
            tx.execute(
                "update obligation set waived_at = ? where consumer = ? and interval = ? and met_at"
                " is null",
                (now, consumer, key(day)),
            )

    def _report(self, tx: Transaction, node: str, day: int, now: int) -> None:
        result = publications.current(tx, node, key(day))
        if result is not None:
            report_publications(tx, node, [result], "ann", "it is wrong", now)

    def _propose(self, tx: Transaction, node: str, day: int) -> None:
        self._revision += 1
        tx.execute(
            "update partition set stale = 1, proposed = 1, revision = ? where node = ? and"
            " partition = ? and publication_id is not null",
            (self._next_revision(tx), node, key(day)),
        )

    def _in_vain(self, tx: Transaction, node: str, day: int, state: str, now: int) -> None:
        if is_ready(tx, node, day):
            self._attempt(tx, node, key(day), state, now, rows=0)

    def _fails(self, tx: Transaction, node: str, day: int, now: int) -> None:
        if not is_ready(tx, node, day):
            return
        self._bad.add((node, key(day)))
        error = json.dumps({"kind": "deterministic", "message": "ValueError: no"})
        self._attempt(tx, node, key(day), "failed", now, rows=3, error=error)
        self._stand(tx, node, key(day), "failed", now)

    def _fact(self, tx: Transaction, node: str, known: str, now: int, severity: str) -> None:
        kind = self._random.choice(FACTS)
        tx.execute(
            "insert into fact (node, partition, epoch, n, kind, column_name, severity, expected,"
            " observed, strength, detail, at) values (?, ?, 1, ?, ?, 'x', ?, '1 %', '60 %', '12',"
            " '', ?)",
            (node, known, self._n, kind, severity, now),
        )

    def _decide(self, tx: Transaction, node: str, known: str, state: str) -> None:
        tx.execute(
            "update quarantine set state = ? where node = ? and partition = ? and state in ('held',"
            " 'rejected')",
            (state, node, known),
        )

    def _attempt(
        self,
        tx: Transaction,
        node: str,
        known: str,
        state: str,
        now: int,
        *,
        rows: int,
        error: str | None = None,
        run: int = 1,
    ) -> int:
        self._n += 1
        kind = (
            "take_in" if node in (*SOURCES, HOURLY) else "export" if node == EXPORTED else "produce"
        )
        tx.execute(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
            " started_at, finished_at, error, snapshot_read, measures) values (1, ?, ?, ?, ?, ?, ?,"
            " ?, ?, ?, ?, ?, ?)",
            (
                self._n,
                run,
                node,
                kind,
                json.dumps([known]),
                state,
                now,
                now,
                now,
                error,
                self._snapshot,
                json.dumps({"rows_out": rows}),
            ),
        )
        return self._n

    def _publish(
        self,
        tx: Transaction,
        node: str,
        known: str,
        now: int,
        *,
        delivery: int | None = None,
        verdict: str = "passed",
        identical: bool = False,
        snapshot: int | None = None,
        run: int = 1,
    ) -> int:
        self._bad.discard((node, known))
        rows = self._random.randrange(1, 50)
        n = self._attempt(tx, node, known, "published", now, rows=rows, run=run)
        self._snapshot = snapshot or self._snapshot + 1
        before = tx.execute(
            "select content_hash, rows from publication where node = ? and partition = ? and"
            " ended_snapshot is null",
            (node, known),
        ).fetchone()
        same = identical and before is not None
        content = before[0] if same else f"{n}"
        tx.execute(
            "update publication set ended_snapshot = ?, ended_at = ? where node = ? and partition ="
            " ? and ended_snapshot is null",
            (self._snapshot, now, node, known),
        )
        number = tx.execute(
            "insert into publication (node, partition, epoch, n, snapshot, published_at, rows,"
            " bytes, verdict, version, content_hash, identical, delivery_id) values (?, ?, 1, ?, ?,"
            " ?, ?, 0, ?, 1, ?, ?, ?)",
            (
                node,
                known,
                n,
                self._snapshot,
                now,
                before[1] if same else rows,
                verdict,
                content,
                int(same),
                delivery,
            ),
        ).lastrowid
        assert number is not None
        self._stand(tx, node, known, "published", now, number)
        return number

    def _stand(
        self,
        tx: Transaction,
        node: str,
        known: str,
        state: str,
        now: int,
        publication: int | None = None,
    ) -> None:
        kept = (
            "publication_id"
            if state in ("held", "rejected", "failed")
            else "excluded.publication_id"
        )
        tx.execute(
            "insert into partition (node, partition, state, since, revision, publication_id,"
            " failures) values (?, ?, ?, ?, ?, ?, ?) on conflict (node, partition) do update set"
            " state = excluded.state, since = excluded.since, revision = excluded.revision,"
            " publication_id ="
            f" {kept.replace('publication_id', 'partition.publication_id') if kept == 'publication_id' else kept},"
            " failures = excluded.failures, stale = 0, proposed = 0",
            (node, known, state, now, self._next_revision(tx), publication, int(state == "failed")),
        )

    def _next_revision(self, tx: Transaction) -> int:
        return int(tx.execute("select coalesce(max(revision), 0) + 1 from partition").fetchone()[0])

    # Playing it

    @property
    def removes(self) -> bool:
        """Whether the consumer is removed by the end."""
        return self.removed_at is not None and self.removed_at <= self.now

    def play(
        self,
        store: Store,
        judged: Callable[[int], VersionEvaluator],
        after: Callable[[Transaction, int], None],
    ) -> None:
        """Write all of it, judging after each pass by what is in force then; `after` sees each
        judgement.
        """
        with store.write(None) as tx:
            tx.execute("update promise set from_at = ?, until_at = null", (self.promised_at,))
            tx.execute(
                "insert into run (id, kind, request, actor, state, started_at, finished_at)"
                " values (1, 'tick', '{}', 't', 'succeeded', ?, ?) on conflict do nothing",
                (FIRST, FIRST),
            )
        for at in sorted({event.at for event in self.events} | {self.now}):
            with store.write(None) as tx:
                for item in self._of(at):
                    item.what(tx, at)
                evaluate_state(tx, judged(at), at)
                after(tx, at)

    def _of(self, at: int) -> Iterable[Event]:
        return (event for event in self.events if event.at == at)
