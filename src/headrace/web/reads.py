"""Read-only endpoints that have a command too: the same operations, and the same responses."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from headrace.services.audit import AuditQuery, AuditRow, VerifyResponse
from headrace.services.checks import CheckStandingRow
from headrace.services.contracts import (
    ContractDiffResponse,
    ContractHistoryResponse,
    ContractShowResponse,
    contract_history,
)
from headrace.services.deliveries import DeliveryRow
from headrace.services.responses import (
    LineageResponse,
    NodeRow,
    PlanResponse,
    QuarantineRow,
    RunRow,
    StatusResponse,
    VersionRow,
)
from headrace.services.responses.backfills import BackfillResponse, BackfillsResponse
from headrace.services.responses.figures import FigureResponse
from headrace.services.responses.incidents import IncidentFigureRow, IncidentRow
from headrace.services.responses.interventions import PauseResponse, WhyResponse
from headrace.services.session import ProjectSession, Silent
from headrace.services.status_facts import WINDOW
from headrace.web.http import RequestParameters

Limit = Annotated[int, Meta(ge=1, le=1_000)]


class StatusAsked(RequestParameters, frozen=True, kw_only=True):
    """`select` as commands take it."""

    select: tuple[str, ...] = ()
    window: str = WINDOW


def status(session: ProjectSession, asked: StatusAsked) -> StatusResponse:
    """`headrace status`: consumers first, served or not, since when, why."""
    from headrace.services import status as operation

    return operation.status(session, asked.select, window=asked.window)


class FigureAsked(RequestParameters, frozen=True, kw_only=True):
    """A figure by name; without a window its own."""

    figure: str
    select: tuple[str, ...] = ()
    window: str | None = None


def figure(session: ProjectSession, asked: FigureAsked) -> FigureResponse:
    """`headrace status --explain FIGURE`: a figure, opened down to the rows that it is made of."""
    from headrace.services.figures import explain

    return explain(session, asked.figure, asked.select, window=asked.window)


class RunsAsked(RequestParameters, frozen=True, kw_only=True):
    """`since` is a time, or a duration back from now. Of a node the newest attempts, as many as
    `limit` says.
    """

    run: str | None = None
    node: str | None = None
    since: str | None = None
    failed: bool = False
    limit: Limit = 20


def runs(session: ProjectSession, asked: RunsAsked) -> list[RunRow]:
    """`headrace runs`: what ran, newest first, one row for each partition that was attempted."""
    from headrace.services import runs as operation

    return operation.runs(
        session,
        asked.run,
        failed=asked.failed,
        since=asked.since,
        limit=asked.limit,
        node=asked.node,
    )


class LsAsked(RequestParameters, frozen=True, kw_only=True):
    """Selections as commands take them."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def ls(session: ProjectSession, asked: LsAsked) -> list[NodeRow]:
    """`headrace ls`: the sources, assets and consumers that the files declare."""
    from headrace.services import ls as operation

    return operation.ls(session, asked.select, asked.exclude, progress=Silent())


class WhyAsked(RequestParameters, frozen=True, kw_only=True):
    """A consumer, an asset or a source, or one of its intervals: `report@2025-03-01`."""

    subject: str


def why(session: ProjectSession, asked: WhyAsked) -> WhyResponse:
    """`headrace why`: what an interval waits for, and where the time went that it waited."""
    from headrace.services.why import why as operation

    return operation(session, asked.subject)


class IncidentsAsked(RequestParameters, frozen=True, kw_only=True):
    """Those that are open; with `all` those that are resolved, too, newest first."""

    all: bool = False


def incidents(session: ProjectSession, asked: IncidentsAsked) -> list[IncidentRow]:
    """`headrace incidents`: the causes, one incident each."""
    from headrace.services import incidents as operation

    return operation.incidents(session, every=asked.all)


class IncidentAsked(RequestParameters, frozen=True, kw_only=True):
    """`INC-1`, or `1`."""

    incident: str


def incident(session: ProjectSession, asked: IncidentAsked) -> IncidentRow:
    """`headrace incident`: one cause, its evidence, whom it affects, what repairs it."""
    from headrace.services import incidents as operation

    return operation.incident(session, asked.incident)


def incident_figures(session: ProjectSession, asked: IncidentAsked) -> list[IncidentFigureRow]:
    """The figures that an incident's evidence is of: what they were before, what was expected and
    what was observed.
    """
    from headrace.services.incident_records import incident_figures as operation

    return operation(session, asked.incident)


class BackfillsAsked(RequestParameters, frozen=True, kw_only=True):
    """Nothing is asked."""


def backfills(session: ProjectSession, asked: BackfillsAsked) -> BackfillsResponse:
    """`headrace backfills`: the newest plans, newest first."""
    from headrace.services import backfills as operation

    del asked
    return operation.backfills(session)


class BackfillAsked(RequestParameters, frozen=True, kw_only=True):
    """A plan's number."""

    plan: str


def backfill(session: ProjectSession, asked: BackfillAsked) -> BackfillResponse:
    """`headrace backfills ID`: one plan as it stands, with what it changed."""
    from headrace.services import backfills as operation

    return operation.one(session, asked.plan)


class DeliveriesAsked(RequestParameters, frozen=True, kw_only=True):
    """A source; the newest intervals."""

    source: str
    limit: Limit = 30


def deliveries(session: ProjectSession, asked: DeliveriesAsked) -> list[DeliveryRow]:
    """`headrace deliveries`: what arrived at a source, and what became of it."""
    from headrace.services import deliveries as operation

    return operation.deliveries(session, asked.source, limit=asked.limit)


class ChecksAsked(RequestParameters, frozen=True, kw_only=True):
    """`history`: the outcomes that each check is shown with."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    history: Limit = 10


def checks(session: ProjectSession, asked: ChecksAsked) -> list[CheckStandingRow]:
    """`headrace checks`: the checks, and what they came to."""
    from headrace.services import checks as operation

    return operation.checks(session, asked.select, asked.exclude, asked.history)


class QuarantineAsked(RequestParameters, frozen=True, kw_only=True):
    """All that waits, or of an asset, a source or a partition."""

    target: str | None = None


def quarantine(session: ProjectSession, asked: QuarantineAsked) -> list[QuarantineRow]:
    """`headrace quarantine`: held and rejected data that waits, with the reason."""
    from headrace.services import quarantine as operation

    return operation.list_quarantine(session, asked.target)


class LineageAsked(RequestParameters, frozen=True, kw_only=True):
    """An asset or a source, or one of its columns: `revenue.day`."""

    column: str
    up: bool = True
    down: bool = True


def lineage(session: ProjectSession, asked: LineageAsked) -> LineageResponse:
    """`headrace lineage`: where a column comes from and goes to."""
    from headrace.services import lineage as operation

    return operation.lineage(session, asked.column, up=asked.up, down=asked.down)


class PlanAsked(RequestParameters, frozen=True, kw_only=True):
    """What the files are compared with: what is applied, or a commit. `keep` selects assets whose
    published partitions stay fresh under their new code."""

    against: str | None = None
    keep: tuple[str, ...] = ()


def plan(session: ProjectSession, asked: PlanAsked) -> PlanResponse:
    """`headrace plan`: what the files change, for whom, and what becomes stale."""
    from headrace.services import plans as operation

    return operation.plan(session, against=asked.against, progress=Silent(), keep=asked.keep)


class ContractAsked(RequestParameters, frozen=True, kw_only=True):
    """A source or an asset; of a difference also a partition: `orders@2025-03-01`."""

    node: str


def contract(session: ProjectSession, asked: ContractAsked) -> ContractShowResponse:
    """`headrace contract show`: what a source or an asset is held to."""
    from headrace.services import contracts as operation

    return operation.show(session, asked.node)


def contract_diff(session: ProjectSession, asked: ContractAsked) -> ContractDiffResponse:
    """`headrace contract diff`: how the newest delivery differs from what was expected, and what
    the files change of the contract."""
    from headrace.services import contracts as operation

    return operation.diff(session, asked.node)


class ContractHistoryAsked(RequestParameters, frozen=True, kw_only=True):
    """A source or an asset, and which versions are compared."""

    node: str
    earlier: int | None = None
    later: int | None = None


def contract_versions(
    session: ProjectSession, asked: ContractHistoryAsked
) -> ContractHistoryResponse:
    """The versions of what a source or an asset is held to, and two of them compared."""
    return contract_history(session, asked.node, asked.earlier, asked.later)


class AuditAsked(RequestParameters, frozen=True, kw_only=True):
    """Patterns with `*`; `since` is a time, or a duration back from now."""

    object: str | None = None
    actor: str | None = None
    action: str | None = None
    since: str | None = None
    limit: Limit = 50


def audit(session: ProjectSession, asked: AuditAsked) -> list[AuditRow]:
    """`headrace audit show`: who did what and why, newest first."""
    from headrace.services.audit import show

    return show(
        session, AuditQuery(asked.object, asked.actor, asked.action, asked.since, asked.limit)
    )


class VersionsAsked(RequestParameters, frozen=True, kw_only=True):
    """A version's number; without one all."""

    version: str | None = None


def versions(session: ProjectSession, asked: VersionsAsked) -> list[VersionRow]:
    """`headrace versions`: what was applied, by which plan, with its files."""
    from headrace.services.ls import versions as found

    return found(session, asked.version)


class VerifyAsked(RequestParameters, frozen=True, kw_only=True):
    """A head that was noted down earlier; it must still be there."""

    head: str | None = None


def audit_verify(session: ProjectSession, asked: VerifyAsked) -> VerifyResponse:
    """`headrace audit verify`: whether anybody changed the record."""
    from headrace.services.audit import verify_trail

    return verify_trail(session, asked.head)


class PausedAsked(RequestParameters, frozen=True, kw_only=True):
    """Nothing is asked."""


def paused(session: ProjectSession, asked: PausedAsked) -> PauseResponse:
    """`headrace pause` without a selection: what is paused now."""
    from headrace.services.pause import paused as operation

    del asked
    return operation(session)
