"""What an asset's `trigger:` says, as the core and whoever predicts what it will do need it."""

from __future__ import annotations

from headrace.model import Asset, Project
from headrace.model.days_off import days_off
from headrace.model.times import parse_duration
from headrace.schedule.graph import NodeTrigger

_SECOND_US = 1_000_000


def trigger_of(project: Project, asset: Asset) -> NodeTrigger | None:
    """What releases an asset; on the days off of its calendar nothing does by itself."""
    said = asset.trigger
    if said is None:
        return None
    every = said.get("interval")
    return NodeTrigger(
        cron=said.get("cron"),
        every_us=int(parse_duration(every).total_seconds() * _SECOND_US) if every is not None else None,
        arrival=_named(said.get("arrival")),
        upstream=_named(said.get("upstream")),
        outside=bool(said.get("webhook") or said.get("manual")),
        timezone=said.get("timezone") or asset.timezone,
        days_off=days_off(project, asset.calendar),
        latest=said.get("catch_up") == "latest",
    )


def _named(value: object) -> str | None:
    """A node; empty for all that there are."""
    return None if value is None else value if isinstance(value, str) else ""
