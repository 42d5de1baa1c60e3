"""What an act would do, looked at before: what commands show with `--dry-run` or `--patch`, and whom other acts reach."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from headrace.operations.backfill_responses import BackfillResponse, PlannedPartitionsResponse
from headrace.operations.contract_responses import AcceptResponse
from headrace.operations.effects import EffectResponse
from headrace.operations.fix_responses import FixResponse
from headrace.operations.progress import Silent
from headrace.operations.session import ProjectSession
from headrace.web.asking import RequestParameters

Many = Annotated[int, Meta(ge=1, le=5_000)]


class RepairAsked(RequestParameters, frozen=True, kw_only=True):
    """An incident, and how `headrace fix` is asked to repair it: `again`, and what is
    decided about values that differ."""

    incident: str
    again: bool = False
    convert: tuple[str, ...] = ()
    as_is: bool = False


def repair(session: ProjectSession, asked: RepairAsked) -> FixResponse:
    """`headrace fix --dry-run`: what would be done about an incident."""
    from headrace.operations.contract_accept import ValueDecision
    from headrace.operations.fix import fix

    return fix(
        session, asked.incident, dry_run=True, confirm=lambda _: False, progress=Silent(), again=asked.again,
        decision=ValueDecision(asked.convert, asked.as_is),
    )  # fmt: skip


class BackfillPreviewAsked(RequestParameters, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """As `headrace backfill` takes it."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    since: str | None = None
    mode: str = "missing"
    reason: str | None = None
    only: bool = False
    allow_partial: bool = False


class BackfillListAsked(BackfillPreviewAsked, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """The same; `cursor` asks for later ones."""

    cursor: str | None = None
    limit: Many = 1_000


def backfill_preview_partitions(session: ProjectSession, asked: BackfillListAsked) -> PlannedPartitionsResponse:
    """The partitions that a backfill would make, one by one."""
    from headrace.operations.backfill_listing import of_preview
    from headrace.operations.backfill_planning import BackfillArguments

    arguments = BackfillArguments(
        list(asked.select), list(asked.exclude), asked.first, asked.last, asked.since, asked.mode, asked.reason or "", asked.only,
        asked.allow_partial,
    )  # fmt: skip
    return of_preview(session, arguments, after=asked.cursor, limit=asked.limit)


class PlanListAsked(RequestParameters, frozen=True, kw_only=True):
    """A plan's number; `cursor` asks for later ones."""

    plan: str
    cursor: str | None = None
    limit: Many = 1_000


def backfill_partitions(session: ProjectSession, asked: PlanListAsked) -> PlannedPartitionsResponse:
    """The partitions of a backfill one by one, and what came of each."""
    from headrace.operations.backfill_listing import of_plan

    return of_plan(session, asked.plan, after=asked.cursor, limit=asked.limit)


def backfill_preview(session: ProjectSession, asked: BackfillPreviewAsked) -> BackfillResponse:
    """`headrace backfill --dry-run`: what would be made, how long it would take, whom it reaches."""
    from headrace.operations.backfill import backfill

    return backfill(
        session, asked.select, exclude=asked.exclude, first=asked.first, last=asked.last, since=asked.since, mode=asked.mode,
        reason=asked.reason, only=asked.only, allow_partial=asked.allow_partial, dry_run=True, confirm=lambda _: False, progress=Silent(),
    )  # fmt: skip


class NamesAsked(RequestParameters, frozen=True, kw_only=True):
    """A source's partition that is held, or an incident; pairs (`COLUMN=NAME`) go before what is proposed."""

    node: str
    map: tuple[str, ...] = ()
    convert: tuple[str, ...] = ()
    as_is: bool = False


def accepted_names(session: ProjectSession, asked: NamesAsked) -> AcceptResponse:
    """`headrace contract accept --patch`: what accepting a vendor's names would write."""
    from headrace.operations.contract_accept import ValueDecision, accept

    return accept(
        session, asked.node, pairs=asked.map, patch=True, yes=False, progress=Silent(), decision=ValueDecision(asked.convert, asked.as_is)
    )  # fmt: skip


class EffectAsked(RequestParameters, frozen=True, kw_only=True):
    """A selection as commands take it."""

    select: tuple[str, ...]
    exclude: tuple[str, ...] = ()


def effect(session: ProjectSession, asked: EffectAsked) -> EffectResponse:
    """Whom an act on these nodes reaches."""
    from headrace.operations import effects

    return effects.effect(session, asked.select, asked.exclude)
