"""Judges what was said of a scenario: the cause, how many incidents, how soon, what was green and shouldn't have been."""

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
    """Readers are served (where no other fault needs a person) and the incident is resolved without a person; None where one is
    needed."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario."""

    seed: int
    faults: list[Found]
    incidents: list[str]
    """kind node partition state, of all that were opened."""
    extra: int
    """Incidents beyond one a cause."""
    green_minutes: float
    """While `status` said served and it wasn't so, of faults that could have been found; summed over consumers."""
    green: list[str]
    states: list[str]
    """Consumers at the end."""
    failed: str = ""

    def line(self) -> str:
        """What came of it, in short."""
        names = " + ".join(f"{one.name} ({one.what})" for one in self.faults)
        if self.failed:
            return "broken"
        missed = "" if all(one.right or one.uncounted for one in self.faults) else f"MISSED: {'; '.join(self.incidents) or 'nothing said'}"
        return f"{names}: {missed or 'right'}" + (f", {self.extra} more incidents" if self.extra else "")


def broken(seed: int, why: str) -> Verdict:
    """Of a scenario that couldn't be played."""
    return Verdict(seed=seed, faults=[], incidents=[], extra=0, green_minutes=0.0, green=[], states=[], failed=why)


def verdict(seed: int, graph: Graph, played: Played, sound: Published, noise: Sequence[str]) -> Verdict:
    """What came of a scenario."""
    opened = [one for one in played.incidents if _opened(one) >= played.since]
    bests = matched(played.faults, opened)
    found = [_found(fault, best, opened, played, why) for fault, best, why in zip(played.faults, bests, noise, strict=True)]
    minutes, why = (0.0, list[str]()) if any(noise) else _green(graph, played, sound)
    return Verdict(
        seed=seed, faults=found, incidents=[_line(one) for one in opened], extra=max(len(opened) - len(played.faults), 0),
        green_minutes=minutes, green=why, states=[f"{one.consumer} {one.state} {one.incident}".strip() for one in played.last],
    )  # fmt: skip


def matched(faults: Sequence[Fault], opened: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """The incident of each fault, none of them twice: those of its kind and node first, then what is left at its node."""
    found: dict[int, dict[str, Any]] = {}
    for by_kind in (True, False):
        for number, fault in enumerate(faults):
            used = [one["id"] for one in found.values()]
            here = [one for one in opened if one["cause"]["node"] == fault.node and one["id"] not in used]
            best = next((one for one in here if not by_kind or one["cause"]["kind"] in fault.kinds), None)
            if number not in found and best is not None:
                found[number] = best
    return [found.get(number) for number in range(len(faults))]


def _found(fault: Fault, best: dict[str, Any] | None, opened: Sequence[dict[str, Any]], played: Played, uncounted: str) -> Found:
    here = [one for one in opened if one["cause"]["node"] == fault.node]
    right = best is not None and best["cause"]["kind"] in fault.kinds
    since = None if best is None else max((_opened(best) - played.began).total_seconds() / 60, 0.0)
    healed = None
    if fault.by_itself:
        served = all(one.state in ("served", "at_risk") for one in played.last)
        alone = all(one.by_itself for one in played.faults)
        healed = (served or not alone) and all(one["state"] == "resolved" for one in here)
    return Found(
        name=fault.name, what=f"{fault.node}: {fault.what}", expected=[f"{kind} {fault.node}" for kind in fault.kinds],
        right=right, node_right=best is not None, seen=bool(opened), detected_minutes=since, healed=healed, uncounted=uncounted,
    )  # fmt: skip


def _opened(one: dict[str, Any]) -> datetime:
    at: datetime | str = one["opened_at"]
    return at if isinstance(at, datetime) else datetime.fromisoformat(at)


def _line(one: dict[str, Any]) -> str:
    cause = one["cause"]
    detail = f" [{cause['detail']}]" if cause.get("detail") else ""
    where = f"{cause['node']}@{cause['partition'] or ''} {','.join(cause['columns'])}{detail}"
    return f"{one['id']} {cause['kind']} {where} {one['state']}: {cause['summary']}"


def _green(graph: Graph, played: Played, sound: Published) -> tuple[float, list[str]]:
    """Minutes from each look at `status` to the next of the same morning."""
    if not all(fault.findable for fault in played.faults):
        return 0.0, []
    minutes, why = 0.0, []
    for number, (seen, visible) in enumerate(played.seen):
        reason = falsely_green(graph, seen, visible, sound)
        if reason:
            following = (other.at for other, _ in played.seen[number + 1 :] if other.consumer == seen.consumer)
            until = next(following, seen.at)
            minutes += (until - seen.at).total_seconds() / 60
            why.append(f"{seen.at:%d %H:%M} {seen.consumer} {seen.state}: {reason}")
    return minutes, why
