"""`/metrics`: Prometheus' text format, from the status document and a few counts of the store and of this process.

Why not prometheus-client: docs/decisions/0027-the-door.md. A name's help says what it counts and since when.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace import __version__
from headrace.operations.documents import StatusDocument
from headrace.operations.session import Session
from headrace.operations.status import status
from headrace.store.queries import figures
from headrace.web.probes import Server, lease

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("served", "at_risk", "late", "wrong", "never", "unknown")

Sample = tuple[Mapping[str, str], float | None]


class Text:
    """Metrics, one after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def gauge(self, name: str, means: str, *samples: Sample) -> None:
        """A number that goes up and down."""
        self._family(name, "gauge", means, samples)

    def counter(self, name: str, means: str, *samples: Sample) -> None:
        """A number that only grows, until the process ends."""
        self._family(name, "counter", means, samples)

    def _family(self, name: str, kind: str, means: str, samples: Iterable[Sample]) -> None:
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            self._lines += [f"# HELP headrace_{name} {means}", f"# TYPE headrace_{name} {kind}"]
            self._lines += [f"headrace_{name}{_labels(labels)} {_number(value)}" for labels, value in known]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def text(session: Session, server: Server) -> str:
    """All metrics. What isn't known is left out, never zero."""
    said = Text()
    _of_process(said, session, server)
    _of_status(said, status(session))
    _of_store(said, session)
    return str(said)


def _of_process(said: Text, session: Session, server: Server) -> None:
    epoch, age = lease(session)
    said.gauge("info", "What runs here.", ({"version": __version__, "env": session.env, "project": session.settings.name}, 1))
    said.gauge("leader", "1 while this process leads.", ({}, int(str(server.role) == "leader")))
    said.gauge("lease_epoch", "The epoch of whoever leads.", ({}, epoch))
    said.gauge("lease_age_seconds", "Since whoever leads has last renewed the lease.", ({}, age))
    counted = server.figures
    if counted is None:
        return
    said.counter("turns_total", "Transactions of the leader's loop, since it leads.", ({}, counted.turns))
    said.counter("turn_seconds_total", "What they took, commits included, since it leads.", ({}, counted.commit_seconds))
    done = sorted(counted.partitions.copy().items())
    said.counter("partitions_total", "What attempts came to, by partition, since it leads.", *(({"state": s}, n) for s, n in done))


def _of_status(said: Text, document: StatusDocument) -> None:
    consumers = document.consumers
    said.gauge(
        "consumer_state", "1 for the state that a consumer is in, 0 for the others.",
        *(({"consumer": c.name, "owner": c.owner, "state": state}, int(c.state == state)) for c in consumers for state in STATES),
    )  # fmt: skip
    said.gauge("consumer_backlog", "Older obligations that aren't met.", *(({"consumer": c.name}, len(c.backlog)) for c in consumers))
    counts = document.assets
    states = {"fresh": counts.fresh, "behind": counts.behind, "stale": counts.stale, "never": counts.never}
    said.gauge("assets", "Assets by how they stand.", *(({"state": state}, n) for state, n in states.items()))
    said.gauge("assets_unchecked", "Assets whose newest publication nothing has checked.", ({}, counts.unchecked))
    said.gauge("quarantine_deliveries", "Deliveries that wait in quarantine.", ({}, document.quarantine.deliveries))
    said.gauge("quarantine_rows", "Their rows.", ({}, document.quarantine.rows))
    said.gauge("not_applied", "Nodes whose files differ from what is applied.", ({}, document.not_applied))
    said.gauge("honest_availability_percent", "Of the worst consumer.", ({}, _percent(document.honest_availability)))
    said.gauge("classic_uptime_percent", "Runs that succeeded of those that started.", ({}, _percent(document.classic_uptime)))
    said.gauge("incidents_open", "Causes that are open.", ({}, document.incidents_open))


def _of_store(said: Text, session: Session) -> None:
    if session.store is None or session.compiled is None:
        return
    now = session.clock.now_us()
    with session.store.read() as tx:
        work = figures.open_work(tx)
        partitions = figures.partitions_open(tx)
        looks = figures.last_looks(tx, session.compiled.project.sources)
    said.gauge("attempts", "Attempts under way.", *(({"state": state}, n) for state, n in work.attempts.items()))
    said.gauge("queue_age_seconds", "How long the oldest attempt that is under way has been.", ({}, _since(work.oldest_us, now)))
    said.gauge("requests_waiting", "What verbs have asked for, and nobody has answered.", ({}, work.requests))
    said.gauge("partitions", "Partitions that aren't published.", *(({"state": state}, n) for state, n in partitions.items()))
    said.gauge("source_last_look_age_seconds", "Since a source was last looked at.",
               *(({"source": name}, _since(look.at, now)) for name, look in looks.items()))  # fmt: skip
    said.gauge("source_look_failed", "1 where the last look failed.", *(({"source": n}, int(look.failed)) for n, look in looks.items()))


def _since(at_us: int | None, now_us: int) -> float | None:
    return None if at_us is None else max(0.0, (now_us - at_us) / 1e6)


def _percent(said: str | None) -> float | None:
    try:
        return None if said is None else float(said)
    except ValueError:
        return None


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(value: str) -> str:
    text = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text.encode("utf-8", "replace").decode()


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
