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
    keys = {one.partition for one in news if one.node in sources and one.state in ("published", "held")}
    for one in common_moves.held_for_rows(tx, keys) if keys else ():
        if one.source in sources and (why := _why(tx, project, one)):
            common_moves.read_again(tx, one.delivery)
            _tell(tx, one, why, now)
            yield DeliveryArrived(one.source, one.partition)


def _why(tx: Transaction, project: Project, one: HeldForRows) -> str:
    """That the others moved alike, in words; empty where they didn't, or aren't all in."""
    source = project.sources[one.source]
    others = candidates(project, source)
    if not others or any(common_moves.awaited(tx, other.name, one.partition) for other in others):
        return ""
    own = held_beside(tx, source, one.partition)
    off = move(own) if own is not None else None
    return "" if off is None else alike(off, list(peers_of(tx, project, source, one.partition)))


def _tell(tx: Transaction, one: HeldForRows, why: str, now: int) -> None:
    """In the timeline of the incident, where there is one."""
    found = incidents.open_at(tx, one.source, one.partition)
    if found is not None:
        said = f"{one.source}@{one.partition} is judged again beside the others of that interval: {why}"
        incidents.happened(tx, found.id, [Happened(now, said, HEADRACE, "judge_again")])
