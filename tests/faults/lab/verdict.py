"""Judges what was said of a scenario: the cause, how many incidents, how soon, what was green and
shouldn't have been.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from lab.faults import Fault
from lab.graph import Graph
from lab.scenario import Played
from lab.truth import Published, falsely_green


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One fault and what was made of it."""

    name: str
    what: str
    expected: list[str]
    right: bool
    """An incident names its kind and its node."""
    uncounted: str = ""
    """Why nobody could be expected to find it (`findable`)."""
    node_right: bool
    seen: bool
    """There is any incident."""
    detected_minutes: float | None
    """From the first look that could have shown it to the right incident, or to any at its node."""
    healed: bool | None
    """Readers are served (where no other fault needs a person) and the incident is resolved without
    a person; None where one is needed."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario."""

    seed: int
    faults: list[Found]
    incidents: list[str]
    """kind node partition state, of all that were opened."""
    extra: int
    """Incidents beyond one a cause."""
    green_minutes: float
    """While `status` said served and it wasn't so, of faults that could have been found; summed
    over consumers."""
    green: list[str]
    states: list[str]
    """Consumers at the end."""
    failed: str = ""

    def line(self) -> str:
        """What came of it, in short."""
        names = " + ".join(f"{fault.name} ({fault.what})" for fault in self.faults)
        if self.failed:
            return "broken"
        missed = (
            ""
            if all(fault.right or fault.uncounted for fault in self.faults)
            else f"MISSED: {'; '.join(self.incidents) or 'nothing said'}"
        )
        return f"{names}: {missed or 'right'}" + (
            f", {self.extra} more incidents" if self.extra else ""
        )


def broken(seed: int, why: str) -> Verdict:
    """Of a scenario that couldn't be played."""
    return Verdict(
        seed=seed,
        faults=[],
        incidents=[],
        extra=0,
        green_minutes=0.0,
        green=[],
        states=[],
        failed=why,
    )


def verdict(
    seed: int, graph: Graph, played: Played, sound: Published, noise: Sequence[str]
) -> Verdict:
    """What came of a scenario."""
    opened = [incident for incident in played.incidents if _opened(incident) >= played.since]
    bests = matched(played.faults, opened)
    result = [
        _found(fault, best, opened, played, why)
        for fault, best, why in zip(played.faults, bests, noise, strict=True)
    ]
    minutes, why = (0.0, list[str]()) if any(noise) else _green(graph, played, sound)
    return Verdict(
        seed=seed,
        faults=result,
        incidents=[_line(item) for item in opened],
        extra=max(len(opened) - len(played.faults), 0),
        green_minutes=minutes,
        green=why,
        states=[f"{item.consumer} {item.state} {item.incident}".strip() for item in played.last],
    )


def matched(
    faults: Sequence[Fault], opened: Sequence[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """The incident of each fault, none of them twice: those of its kind and node first, then what
    is left at its node.
    """
    result: dict[int, dict[str, Any]] = {}
    for by_kind in (True, False):
        for number, fault in enumerate(faults):
            used = [item["id"] for item in result.values()]
            here = [
                item
                for item in opened
                if item["cause"]["node"] == fault.node and item["id"] not in used
            ]
            best = next(
                (item for item in here if not by_kind or item["cause"]["kind"] in fault.kinds), None
            )
            if number not in result and best is not None:
                result[number] = best
    return [result.get(number) for number in range(len(faults))]


def _found(
    fault: Fault,
    best: dict[str, Any] | None,
    opened: Sequence[dict[str, Any]],
    played: Played,
    uncounted: str,
) -> Found:
    here = [item for item in opened if item["cause"]["node"] == fault.node]
    right = best is not None and best["cause"]["kind"] in fault.kinds
    since = None if best is None else max((_opened(best) - played.began).total_seconds() / 60, 0.0)
    healed = None
    if fault.by_itself:
        served = all(item.state in ("served", "at_risk") for item in played.last)
        alone = all(fault.by_itself for fault in played.faults)
        healed = (served or not alone) and all(item["state"] == "resolved" for item in here)
    return Found(
        name=fault.name,
        what=f"{fault.node}: {fault.what}",
        expected=[f"{kind} {fault.node}" for kind in fault.kinds],
        right=right,
        node_right=best is not None,
        seen=bool(opened),
        detected_minutes=since,
        healed=healed,
        uncounted=uncounted,
    )


def _opened(item: dict[str, Any]) -> datetime:
    at: datetime | str = item["opened_at"]
    return at if isinstance(at, datetime) else datetime.fromisoformat(at)


def _line(item: dict[str, Any]) -> str:
    cause = item["cause"]
    detail = f" [{cause['detail']}]" if cause.get("detail") else ""
    where = f"{cause['node']}@{cause['partition'] or ''} {','.join(cause['columns'])}{detail}"
    return f"{item['id']} {cause['kind']} {where} {item['state']}: {cause['summary']}"


def _green(graph: Graph, played: Played, sound: Published) -> tuple[float, list[str]]:
    """Minutes from each look at `status` to the next of the same morning."""
    if not all(fault.findable for fault in played.faults):
        return 0.0, []
    minutes, why = 0.0, []
    for number, (seen, visible) in enumerate(played.seen):
        reason = falsely_green(graph, seen, visible, sound)
        if reason:
            following = (
                other.at
                for other, _ in played.seen[number + 1 :]
                if other.consumer == seen.consumer
            )
            until = next(following, seen.at)
            minutes += (until - seen.at).total_seconds() / 60
            why.append(f"{seen.at:%d %H:%M} {seen.consumer} {seen.state}: {reason}")
    return minutes, why
