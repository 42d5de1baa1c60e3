"""What readers really get, by the content of what is published, compared with the same days without
a fault."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from lab.driving import Driver, Seen
from lab.graph import Consumer, Graph

Published = dict[tuple[str, str], str]
"""Asset and partition → content, of what readers see."""
GREEN = frozenset({"served", "at_risk"})


def published(driver: Driver) -> Published:
    """What readers see now."""
    result = driver.rows(
        "select node, partition, content_hash from publication where ended_snapshot is null"
    )
    return {(node, partition): content for node, partition, content in result}


def wrong(consumer: Consumer, visible: Published, sound: Published) -> list[str]:
    """Partitions that a consumer can read and that aren't as they should be."""
    return [
        f"{asset}@{partition}"
        for (asset, partition), content in visible.items()
        if asset in consumer.reads
        and (asset, partition) in sound
        and content != sound[asset, partition]
    ]


def lacking(consumer: Consumer, visible: Published, at: datetime) -> list[str]:
    """What a consumer was promised to be able to read by now, of the newest interval that is due,
    and can't.
    """
    due = _newest_due(consumer, at)
    return [f"{asset}@{due}" for asset in consumer.reads if (asset, due) not in visible]


def _newest_due(consumer: Consumer, at: datetime) -> str:
    kind, value = consumer.promise.split(": ")
    if kind == "max_age":
        return ((at - timedelta(hours=int(value.rstrip("h")))).date()).isoformat()
    hour, minute = map(int, value.strip("'").split(":"))
    back = 1 if at.time().replace(tzinfo=None) >= time(hour, minute) else 2
    return (at.date() - timedelta(back)).isoformat()


def falsely_green(graph: Graph, seen: Seen, visible: Published, sound: Published) -> str:
    """Why a consumer that is said to be served isn't; empty where it is."""
    consumer = next(consumer for consumer in graph.consumers if consumer.name == seen.consumer)
    if seen.state not in GREEN:
        return ""
    odd = wrong(consumer, visible, sound)
    if odd:
        return f"wrong {odd[0]}"
    gone = lacking(consumer, visible, seen.at)
    return f"late {gone[0]}" if gone else ""
