"""A random walk over the product's commands, some of them killed; after each step tables, event log
and audit trail must agree.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from postgres_cluster import Database
from runlab import SETTINGS, Lab
from warm_fork_servers import headrace

from headrace.faults import FaultPoint
from headrace.project.session import ProjectSession
from headrace.services.audit import CheckpointResponse, read_checkpoint, verify_trail
from headrace.services.database_check import check

SECONDS_MAX = 150.0
FAULTS = 0.4
"""The share of commands in which a fault is armed; not all come to its point."""
POINTS = (
    FaultPoint.LEASE_TAKING,
    FaultPoint.LEASE_TAKEN,
    FaultPoint.VERSION_APPLYING,
    FaultPoint.RUN_BEGUN,
    FaultPoint.TURN_BEGUN,
    FaultPoint.TURN_SYNCED,
    FaultPoint.PUBLISH_REGISTERED,
    FaultPoint.OVERLAY_STAGED,
    FaultPoint.OVERLAY_FOUND,
    FaultPoint.OVERLAY_PROMOTED,
    FaultPoint.OVERLAY_TIDYING,
    FaultPoint.ENVIRONMENT_PROMOTED,
    FaultPoint.CHECKPOINT_WRITTEN,
    FaultPoint.TURN_COMMITTING,
    FaultPoint.TURN_COMMITTED,
    FaultPoint.TURN_DURABLE,
    FaultPoint.TASK_SENDING,
    FaultPoint.TURN_DONE,
    FaultPoint.LEASE_RELEASING,
)
"""Points of the process that leads, in whatever command."""
MAINTENANCE = (
    FaultPoint.MAINTENANCE_EXPIRED,
    FaultPoint.MAINTENANCE_CLEANED,
    FaultPoint.WASTE_REMOVING,
    FaultPoint.EVENT_LOG_COPIED,
    FaultPoint.EVENT_LOG_SHORTENING,
    FaultPoint.EVENT_LOG_SHORTENED,
)
TIMES_MAX = 3
"""A fault strikes the first to third time that the command comes to its point."""
RETENTION = '[retention]\nsnapshots = "2d"\nhistory = "3d"\n'
ENVIRONMENT = "[environments.dev]\nworkers = 1\n"
HEADER, RENAMED = "order_id,customer,amount,day", "order_id,client,amount,day"
CONSUMERS = "- {consumer: sales, owner: core, reads: [totals], due: '09:00'}\n"
CHECKED = "partition: {by: day, column: day}\nchecks:\n  - unique: [order_id]"
MERGED = "partition: day\nmaterialize: merge\nmerge: {keys: [customer]}"
UNCOMPARED = {"lease", "checkpoint", "event_log"}
"""What `db check` never compares."""


class Step(NamedTuple):
    """What was done: the command, the fault in it, and the exit code."""

    command: tuple[str, ...]
    fault: str
    code: int


class Walk:
    """One project and what was done to it. `steps` are there for a failure's message."""

    def __init__(self, folder: Path, seed: int, database: Database | None = None) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.lab = Lab(folder / "p", database)
        self.steps: list[Step] = []
        self.struck = 0
        self.days = 0
        self.factor = 1
        self.header = HEADER
        self._restored = False
        self._kept: CheckpointResponse | None = None
        self._catalog_compared = True
        self._declare()

    def _declare(self) -> None:
        settings = (self.lab.root / "headrace.toml").read_text()
        parts = settings.replace(SETTINGS, f"{SETTINGS}{RETENTION}{ENVIRONMENT}")
        self.lab.write("headrace.toml", parts)
        self.lab.write("consumers.yaml", CONSUMERS)
        self._write_clean()
        self.lab.sql("totals", "select day, sum(amount) as amount from clean group by day")
        self.lab.sql(
            "latest", "select customer, max(day) as day from clean group by customer", MERGED
        )

    def _write_clean(self) -> None:
        body = f"select order_id, customer, {self.factor} * amount as amount, day from orders"
        self.lab.sql("clean", body, CHECKED)

    # Steps

    def go(self, steps: int) -> None:
        """Take that many steps. AssertionError with all of them where something differs."""
        self._deliver("sound")
        self.run("tick")
        self.agree()
        moves = [*self._moves()]
        while len(self.steps) < steps:
            if (command := self.chance.choice(moves)()) is not None:
                self.run(*command)
                self.agree()
        self.finish()

    def finish(self) -> None:
        """Whatever was killed: the next command goes on, and all of it is compared."""
        self.run("tick", fault="")
        self.run("db", "gc", fault="")
        assert self.steps[-1].code == 0, self.told()
        self.agree()
        assert self._catalog_compared
        if self._kept is not None:
            proven = verify_trail(self._session(), None, self._kept)
            assert proven.proven_to == self._kept.seq, self.told(proven.reason or "")

    def run(self, *command: str, fault: str | None = None) -> None:
        """A command in a process of its own, perhaps killed or failing at a point."""
        self.lab.now += timedelta(minutes=self.chance.randint(1, 600))
        collecting = command[:2] == ("db", "gc") or command[:2] == ("db", "restore")
        armed = self._drawn(collecting=collecting) if fault is None else fault
        line = [*command, "--json", "--project", str(self.lab.root), *self._clock(command)]
        done = headrace(line, Path.cwd(), os.environ, SECONDS_MAX, armed)
        self.steps.append(Step(command, armed, done.returncode))
        assert "Traceback" not in done.stderr, self.told(done.stderr)
        backfills = command[0] == "backfill" or "--backfill" in command
        refused = (
            {2, 3} if backfills and "already" in done.stderr else {3}
        )  # 2: another one computes that already
        ended = done.returncode in {0, 1} | refused or (armed and done.returncode == -9)
        assert ended, self.told(done.stderr)
        self.struck += done.returncode == -9
        if collecting:
            self._catalog_compared = done.returncode == 0

    def _clock(self, command: tuple[str, ...]) -> list[str]:
        """Maintenance and restoring have no clock of their own."""
        return [] if command[0] == "db" else ["--now", self.lab.now.isoformat()]

    def _drawn(self, *, collecting: bool) -> str:
        if self.chance.random() >= FAULTS:
            return ""
        point = self.chance.choice(MAINTENANCE if collecting else POINTS)
        action = self.chance.choice(("kill", "kill", "kill", "error", "full"))
        return f"{point}:{self.chance.randint(1, TIMES_MAX)}={action}"

    # What is checked

    def agree(self) -> None:
        """Tables and catalog are what the event log says, and the trail agrees with both."""
        session = self._session()
        try:
            result = check(session, deep=False)
            trail = verify_trail(session, None)
        finally:
            session.close()
        assert result.ok, self.told(f"{[finding.message for finding in result.findings]}")
        assert result.differences == [], self.told(str(result.differences[:5]))
        unchecked = {item.what for item in result.unchecked} - {"files"}
        allowed = UNCOMPARED | (set() if self._catalog_compared else {"ducklake_*"})
        allowed |= {"history"} if self._restored else set()
        assert unchecked <= allowed, self.told(str(unchecked))
        assert trail.ok and trail.reconciled, self.told(f"{trail.reason} {trail.missing}")

    def _session(self) -> ProjectSession:
        return ProjectSession.open(self.lab.root, "prod", None, "walk")

    def told(self, why: str = "") -> str:
        """All steps and what is wrong now."""
        lines = [f"{' '.join(step.command)}  [{step.fault}] → {step.code}" for step in self.steps]
        return "\n".join([*lines, why])

    # What may be done next: a command, or None where there is nothing to do it to

    def _moves(self) -> list[Callable[[], tuple[str, ...] | None]]:
        return [
            self.tick,
            self.tick,
            self.tick,
            self.restated,
            self.broken,
            self.renamed,
            self.collected,
            self.applied,
            self.kept_and_applied,
            self.built_and_applied,
            self.backfilled,
            self.again,
            self.fixed,
            self.retried,
            self.paused,
            self.resumed,
            self.accepted,
            self.dropped,
            self.contract,
            self.reported,
            self.noted,
            self.withdrawn,
            self.waived,
            self.received,
            self.saved,
            self.restored,
            self.checkpoint,
        ]

    def _deliver(self, kind: str, day: int | None = None) -> str:
        if day is None:
            self.days += 1
            day = self.days
        key = f"2025-01-{day:02d}" if day < 32 else f"2025-02-{day - 31:02d}"
        amounts = self.chance.randint(1, 50)
        rows = [f"{day}{n},c{n % 3},{amounts + n}.50,{key}" for n in range(10)]
        self.lab.deliver(key, rows + (rows[:1] if kind == "double" else []), self.header)
        return key

    def tick(self) -> tuple[str, ...]:
        """A new day."""
        self.lab.now += timedelta(days=1)
        self._deliver("sound")
        return ("tick",)

    def restated(self) -> tuple[str, ...]:
        """A day again, with other values."""
        self._deliver("sound", self.chance.randint(1, self.days))
        return ("tick",)

    def broken(self) -> tuple[str, ...]:
        """A day that breaks a check."""
        self._deliver("double")
        return ("tick",)

    def renamed(self) -> tuple[str, ...]:
        """From now on the vendor has another name for a column."""
        self.header = RENAMED if self.header == HEADER else HEADER
        self._deliver("sound")
        return ("tick",)

    def collected(self) -> tuple[str, ...]:
        """Maintenance: snapshots expire, history is retired, a checkpoint replaces the log."""
        return ("db", "gc")

    def _changed(self) -> None:
        self.factor += 1
        self._write_clean()

    def applied(self) -> tuple[str, ...]:
        self._changed()
        more = ("--backfill", "--reason", "other amounts") if self.chance.random() < 0.5 else ()
        return ("apply", "--yes", *more)

    def kept_and_applied(self) -> tuple[str, ...]:
        self._changed()
        return ("apply", "--yes", "--keep", "clean", "--reason", "from now on")

    def built_and_applied(self) -> tuple[str, ...]:
        """What an environment has built is promoted."""
        self._changed()
        self.run("tick", "--env", "dev", fault="")
        return ("apply", "--yes")

    def backfilled(self) -> tuple[str, ...] | None:
        keys = self._published("clean")
        if not keys:
            return None
        first, last = sorted((self.chance.choice(keys), self.chance.choice(keys)))
        return (
            "backfill",
            "clean",
            "--from",
            first,
            "--to",
            last,
            "--mode",
            "all",
            "--yes",
            "--reason",
            "walk",
        )

    def again(self) -> tuple[str, ...] | None:
        if not (keys := self._published("totals")):
            return None
        key = self.chance.choice(keys)
        return ("run", "totals", "--partition", key, "--again", "--reason", "walk")

    def fixed(self) -> tuple[str, ...] | None:
        if not (result := self._ids("select id from incident where state = 'open' order by id")):
            return None
        more = self.chance.choice((("--again",), ("--as-is",), ()))
        return ("fix", f"INC-{self.chance.choice(result)}", "--yes", *more, "--reason", "walk")

    def retried(self) -> tuple[str, ...]:
        return ("retry", self.chance.choice(("clean", "orders", "totals")), "--reason", "walk")

    def paused(self) -> tuple[str, ...]:
        return ("pause", self.chance.choice(("clean", "totals")), "--reason", "walk")

    def resumed(self) -> tuple[str, ...] | None:
        result = self.lab.rows("select node from pause order by node") if self.days else []
        return ("resume", str(result[0][0])) if result else None

    def accepted(self) -> tuple[str, ...] | None:
        return self._decided("accept")

    def dropped(self) -> tuple[str, ...] | None:
        return self._decided("drop")

    def _decided(self, what: str) -> tuple[str, ...] | None:
        result = self.lab.rows(
            "select node, partition from quarantine where state in ('held', 'rejected') order by id"
        )
        if not result:
            return None
        node, key = self.chance.choice(result)
        return ("quarantine", what, f"{node}@{key}", "--reason", "walk")

    def contract(self) -> tuple[str, ...] | None:
        held = "select 1 from quarantine where state = 'held' and node = 'orders'"
        return ("contract", "accept", "orders", "--yes") if self.lab.rows(held) else None

    def reported(self) -> tuple[str, ...] | None:
        if not (keys := self._published("totals")):
            return None
        key = self.chance.choice(keys)
        return ("incidents", "report", "totals", "--from", key, "--reason", "walk")

    def noted(self) -> tuple[str, ...] | None:
        if not (result := self._ids("select id from incident order by id")):
            return None
        return ("incidents", "note", f"INC-{self.chance.choice(result)}", "--reason", "walk")

    def withdrawn(self) -> tuple[str, ...] | None:
        keys = self._published("totals")
        return (
            ("unpublish", f"totals@{self.chance.choice(keys)}", "--reason", "walk")
            if keys
            else None
        )

    def waived(self) -> tuple[str, ...] | None:
        result = self.lab.rows(
            "select interval from obligation where met_at is null and waived_at is null order by 1"
        )
        return ("waive", f"sales@{result[0][0]}", "--reason", "walk") if result else None

    def received(self) -> tuple[str, ...]:
        """A day that comes by hand."""
        key = self._deliver("sound")
        path = self.lab.root / f"landing/orders_{key}.csv"
        aside = self.folder / f"by hand {key}.csv"
        path.rename(aside)
        return ("receive", "orders", str(aside), "--for", key, "--reason", "walk")

    def saved(self) -> tuple[str, ...]:
        shutil.rmtree(self.folder / "saved", ignore_errors=True)
        return ("db", "backup", str(self.folder / "saved"))

    def restored(self) -> tuple[str, ...] | None:
        """Back to a backup, whole or not at all: a restore isn't killed here."""
        if not (self.folder / "saved/manifest.json").exists():
            return None
        self.run("db", "restore", str(self.folder / "saved"), "--force", fault="")
        assert self.steps[-1].code == 0, self.told()
        self._restored = True
        self._kept = None  # what it knows is in the state that was moved aside
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "kept.json").unlink()
        return ("tick",)

    def checkpoint(self) -> tuple[str, ...] | None:
        """The trail's head is kept elsewhere."""
        kept = self.folder / "kept.json"
        if not kept.exists():
            self.run("audit", "checkpoint", "--out", str(kept), fault="")
            self._kept = read_checkpoint(kept)
        return None

    def _published(self, node: str) -> list[str]:
        result = self.lab.rows(
            f"select partition from publication where node = '{node}' and ended_snapshot is null"
            " order by partition"
        )
        return [str(key) for (key,) in result]

    def _ids(self, sql: str) -> list[int]:
        return [int(number) for (number,) in self.lab.rows(sql)]
