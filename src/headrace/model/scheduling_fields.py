"""The fields that say when a node runs, and beside what: `trigger`, `pool`, `concurrency`."""

from __future__ import annotations

from typing import Any

from headrace.model.cron import check_cron
from headrace.model.documents import LocatedMapping, plain
from headrace.model.errors import UsageError
from headrace.model.fields import Fields
from headrace.model.reporting import shown
from headrace.model.times import parse_duration

TRIGGERS = ("cron", "interval", "arrival", "upstream", "webhook", "manual")
ALONE = ("manual", "upstream", "webhook", "arrival")
"""Kinds that say enough by themselves."""
CATCH_UP = ("all", "latest")
SLOTS_MAX = 100_000
CONCURRENCY_MAX = 100_000


def read_trigger(fields: Fields) -> dict[str, Any] | None:
    """One kind with its value, and `catch_up`: `manual`, `{cron: "0 6 * * 1-5", catch_up: latest}`."""
    written = fields.raw("trigger")
    if isinstance(written, str):
        kind = fields.choice("trigger", ALONE, "")
        return {kind: True} if kind else None
    block = fields.block_of("trigger")
    if block is None:
        return None
    inner = Fields(block, fields.report, (*TRIGGERS, "catch_up", "timezone"), what="`trigger`")
    kinds = [kind for kind in TRIGGERS if kind in block]
    if len(kinds) != 1:
        fields.refuse("trigger", "`trigger` names no kind, or more than one", f"one of {', '.join(TRIGGERS)}")
        return None
    if "catch_up" in inner:
        inner.choice("catch_up", CATCH_UP, "all")
    if "timezone" in inner:
        inner.timezone("timezone")
    return dict(plain(block)) if _usable(inner, kinds[0]) else None


def _usable(fields: Fields, kind: str) -> bool:
    match kind:
        case "cron":
            return _cron(fields)
        case "interval":
            return _interval(fields)
        case _ if fields.raw(kind) is True:
            return True
        case "arrival" | "upstream":
            return fields.text(kind) is not None
        case _:
            fields.wrong(kind, "true", f"write trigger: {kind}")
            return False


def _cron(fields: Fields) -> bool:
    cron = fields.text("cron")
    if cron is None:
        return False
    try:
        check_cron(cron)
    except UsageError as error:
        fields.refuse("cron", str(error), error.hint)
        return False
    return True


def _interval(fields: Fields) -> bool:
    written = fields.duration("interval", "")
    if written and not parse_duration(written):
        fields.refuse("interval", "`interval` is no time at all", "write a duration: `15m`, `6h`")
        return False
    return bool(written)


def read_pool(fields: Fields) -> str | dict[str, int] | None:
    """A pool of which each attempt takes one slot, or pools with how many it takes of each."""
    if not isinstance(fields.raw("pool"), LocatedMapping):
        return fields.text("pool")
    block = fields.block_of("pool") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="`pool`")
    slots = {name: inner.whole(name, minimum=1, maximum=SLOTS_MAX) for name in block}
    if not block:
        fields.refuse("pool", "`pool` names no pool", f"write pool: NAME, or pool: {shown('{NAME: 2}')}")
    return {name: count for name, count in slots.items() if count is not None} or None


def read_concurrency(fields: Fields) -> int | None:
    """How many attempts run at once."""
    return fields.whole("concurrency", minimum=1, maximum=CONCURRENCY_MAX)
