"""What was held for how many rows it has, while others of the same interval weren't in yet: it is judged again beside them once they are,
where they moved alike. A holiday thins all sources, a fault one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.model import Project
from headrace.observe.diagnosis.causes import HEADRACE
from headrace.quality.anomalies.peers import alike, move
from headrace.run.news import News
from headrace.run.tasks.peers import candidates, held_beside, peers_of
from headrace.schedule import DeliveryArrived
from headrace.store import Transaction
from headrace.store.queries import common_moves, incidents
from headrace.store.queries.common_moves import HeldForRows
from headrace.store.queries.incidents import Happened


def judged_again(tx: Transaction, project: Project, news: Iterable[News], now: int) -> Iterator[DeliveryArrived]:
    """The deliveries that are to be ingested once more after this news of others; each once. What comes of it is judged as ever."""
    sources = project.sources
    keys = {item.partition for item in news if item.node in sources and item.state in ("published", "held")}
    for rows in common_moves.held_for_rows(tx, keys) if keys else ():
        if rows.source in sources and (why := _why(tx, project, rows)):
            common_moves.read_again(tx, rows.delivery)
            _tell(tx, rows, why, now)
            yield DeliveryArrived(rows.source, rows.partition)


def _why(tx: Transaction, project: Project, rows: HeldForRows) -> str:
    """That the others moved alike, in words; empty where they didn't, or aren't all in."""
    source = project.sources[rows.source]
    others = candidates(project, source)
    if not others or any(common_moves.awaited(tx, other.name, rows.partition) for other in others):
        return ""
    peer = held_beside(tx, source, rows.partition)
    off = move(peer) if peer is not None else None
    return "" if off is None else alike(off, list(peers_of(tx, project, source, rows.partition)))


def _tell(tx: Transaction, rows: HeldForRows, why: str, now: int) -> None:
    """In the timeline of the incident, where there is one."""
    incident = incidents.open_at(tx, rows.source, rows.partition)
    if incident is not None:
        text = f"{rows.source}@{rows.partition} is judged again beside the others of that interval: {why}"
        incidents.happened(tx, incident.id, [Happened(now, text, HEADRACE, "judge_again")])
