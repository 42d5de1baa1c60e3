"""The ledger's records of one node, as lists: for tests of what they claim and of how often they are
read."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.ledger.records import (
    ActApproval,
    CurrentLeader,
    LedgerBackfill,
    LedgerDelivery,
    LedgerIncident,
    LedgerPublication,
    Standstill,
    Try,
    Unread,
)


class Rows:
    """Records of one node, as lists."""

    def __init__(self, *tries: Try) -> None:
        self.made = list(tries)
        self.visible: list[LedgerPublication] = []
        self.delivered: list[LedgerDelivery] = []
        self.paused: list[Standstill] = []
        self.named: list[LedgerIncident] = []
        self.planned: list[LedgerBackfill] = []
        self.asked: list[ActApproval] = []
        self.idle: list[tuple[int, int]] = []
        self.refused: list[Unread] = []
        self.looked: int | None = 1_000_000_000
        self.now_us = 1_000
        self.owners: dict[int, str] = {}

    def tries(self, node: str, partition: str) -> Sequence[Try]:
        return self.made

    def publications_of(self, node: str, partition: str) -> Sequence[LedgerPublication]:
        return self.visible

    def arrivals(self, source: str, partition: str) -> Sequence[LedgerDelivery]:
        return self.delivered

    def pauses(self, node: str) -> Sequence[Standstill]:
        return self.paused

    def incidents(self, node: str, partition: str) -> Sequence[LedgerIncident]:
        return self.named

    def awaiting(self, node: str, partition: str) -> Sequence[LedgerBackfill]:
        return self.planned

    def approvals(self, node: str, partition: str) -> Sequence[ActApproval]:
        return self.asked

    def newest_before(
        self, node: str, at_us: int, epoch: int | None, n: int | None
    ) -> tuple[str, int] | None:
        return None

    def free(self, one: Try, from_us: int, to_us: int, *, begun: bool) -> Sequence[tuple[int, int]]:
        return [(max(a, from_us), min(b, to_us)) for a, b in self.idle if a < to_us and b > from_us]

    def applied_us(self, version: int) -> int | None:
        return {2: 300}.get(version)

    def typical_us(self, node: str) -> int | None:
        return None

    def unread(self, source: str) -> Sequence[Unread]:
        return self.refused

    def observed_us(self, source: str) -> int | None:
        return self.looked

    def led(self) -> CurrentLeader | None:
        return None
