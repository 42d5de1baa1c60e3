"""Rows and bytes per second of work: delivered, processed, published and good. Pure.

All rates of a node are per second of its attempts, so they can be compared: what isn't published
was held, rejected or computed in vain, and what isn't good was replaced since, or is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from headrace.slo.goodput import Goodput

STAGES = ("delivered", "processed", "published", "good")


class Amount(NamedTuple):
    """Rows and bytes, and the seconds of work in which they came about."""

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def plus(self, other: Amount) -> Amount:
        """Return the sum of both."""
        return Amount(
            self.rows + other.rows, self.bytes + other.bytes, self.seconds + other.seconds
        )

    @property
    def rows_per_second(self) -> float | None:
        """None without work."""
        return self.rows / self.seconds if self.seconds else None

    @property
    def bytes_per_second(self) -> float | None:
        """None without work."""
        return self.bytes / self.seconds if self.seconds else None


class Throughput(NamedTuple):
    """What the work of a source, an asset or a domain came to; `kind` says which of them.

    `stages` has no `delivered` for an asset. Bytes are those of files for `delivered`, and of
    tables for the other stages. `reworked` are rows that were computed or ingested more than once.
    """

    kind: str
    name: str
    stages: Mapping[str, Amount]
    reworked: int

    @property
    def rework_ratio(self) -> float | None:
        """The share of the processed rows that was work redone; None without rows."""
        rows = self.stages["processed"].rows
        return self.reworked / rows if rows else None


def throughputs(
    goodputs: Iterable[Goodput], is_source: Callable[[str], bool], domain_of: Callable[[str], str]
) -> list[Throughput]:
    """Return the throughput of each node, then of each domain by its name.

    The rate of a domain is that of all its nodes together: a row that passes through several of
    them counts in each. Nodes without a domain are in none.
    """
    nodes = [_of_node(item, source=is_source(item.node)) for item in goodputs]
    domains: dict[str, Throughput] = {}
    for node in nodes:
        if domain := domain_of(node.name):
            known = domains.get(domain, Throughput("domain", domain, {}, 0))
            domains[domain] = _sum(known, node)
    return [*nodes, *(domains[name] for name in sorted(domains))]


def _of_node(item: Goodput, *, source: bool) -> Throughput:
    stages = {
        "processed": Amount(item.staged, item.staged_bytes, item.seconds),
        "published": Amount(item.published, item.published_bytes, item.seconds),
        "good": Amount(item.good, item.good_bytes, item.seconds),
    }
    if source:
        delivered = Amount(item.delivered, item.delivered_bytes, item.seconds)
        stages = {"delivered": delivered, **stages}
    return Throughput("source" if source else "asset", item.node, stages, item.reworked)


def _sum(first: Throughput, second: Throughput) -> Throughput:
    stages = {
        stage: first.stages.get(stage, Amount()).plus(second.stages.get(stage, Amount()))
        for stage in STAGES
        if stage in first.stages or stage in second.stages
    }
    return first._replace(stages=stages, reworked=first.reworked + second.reworked)
