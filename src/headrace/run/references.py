"""What a check rejected for rows of another node that weren't there: it is checked again once these have been published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.model.commands import place
from headrace.observe.diagnosis.causes import HEADRACE
from headrace.observe.incidents.endings import CHECKED_AGAIN
from headrace.run.news import News
from headrace.schedule import DeliveryArrived, Graph, PartitionOvertaken
from headrace.store import Transaction
from headrace.store.queries import common_moves, incidents
from headrace.store.queries import references as stored
from headrace.store.queries.incidents import Happened
from headrace.store.queries.references import QuarantinedPartition


def checked_again(tx: Transaction, graph: Graph, news: Iterable[News], now: int) -> Iterator[DeliveryArrived | PartitionOvertaken]:
    """The partitions that are to be made, or ingested, again: a check of theirs that reads another node failed, and this news says
    that other rows of that node were published since."""
    published = {item.node for item in news if item.state == "published"}
    for node in graph.nodes if published else ():
        read = [name for name in node.checked_against if name in published]
        for partition in stored.failed(tx, node.name) if read else ():
            newer = next((name for name in read if stored.newer_rows(tx, name, partition)), None)
            if newer is not None:
                _tell(tx, partition, newer, now)
                yield _event(tx, partition)


def _event(tx: Transaction, partition: QuarantinedPartition) -> DeliveryArrived | PartitionOvertaken:
    if partition.delivery is None:
        return PartitionOvertaken(partition.node, partition.partition)
    common_moves.read_again(tx, partition.delivery)
    return DeliveryArrived(partition.node, partition.partition)


def _tell(tx: Transaction, partition: QuarantinedPartition, reference: str, now: int) -> None:
    """In the timeline of the incident, where there is one."""
    incident = incidents.open_at(tx, partition.node, partition.partition)
    if incident is not None:
        text = f"{place(partition.node, partition.partition)} is checked again: {reference} has other rows since"
        incidents.happened(tx, incident.id, [Happened(now, text, HEADRACE, f"{CHECKED_AGAIN}{reference}")])
