"""`incidents` and `incident`: causes, what they hold back, and the text of their repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from headrace.access.permissions import SEE, command
from headrace.plan import Compiled
from headrace.project.parameters import IncidentId, Option
from headrace.project.session import ProjectSession
from headrace.repairs.incident_rows import number_of, row_of, rows_of, unknown_incident, visible_in
from headrace.responses import HoldingRow
from headrace.responses.incidents import (
    IncidentRow,
)
from headrace.slo.consumer_states import ConsumerStatus
from headrace.slo.evaluation import WAITING
from headrace.store import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import (
    Incident,
)

Every = Annotated[
    bool, Option("--all", help="those that are resolved, too, newest first", key="all")
]


@command("incidents", SEE, lists=True, http="GET /incidents incidents", session="incidents")
def incidents(session: ProjectSession, *, every: Every = False) -> list[IncidentRow]:
    """Return the unresolved incidents, oldest first.

    With `every`, return the newest of all incidents, newest first.
    """
    if session.store is None or session.compiled is None:
        return []
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        visible = [
            incident
            for incident in (stored.newest(tx) if every else stored.open_incidents(tx))
            if session.shows(incident.node)
        ]
        return rows_of(session, session.compiled, tx, visible, now_us)


@command(
    "incident",
    SEE,
    lists=True,
    http="GET /incidents/{incident} incident",
    session="incident",
    group="look",
    summary="show one incident: evidence, affected consumers, repair",
)
def incident(
    session: ProjectSession,
    incident: IncidentId,
) -> IncidentRow:
    """Show one incident, by `INC-1` or `1`.

    It has its evidence with what was expected, the nodes that it affects, its timeline and its
    repair. Raise UnknownName if it doesn't exist.
    """
    number = number_of(incident)
    if session.store is None or session.compiled is None:
        raise unknown_incident(number)
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        facts = visible_in(session, tx, number)
        return row_of(session, session.compiled, tx, facts, now_us)


def holds(
    tx: Transaction,
    compiled: Compiled,
    consumers: Sequence[ConsumerStatus],
    causes: Sequence[Incident],
    now_us: int,
) -> HoldingRow | None:
    """Return what the causes hold back from waiting consumers; None without causes."""
    from headrace.repairs.repair_actions import repair_of
    from headrace.repairs.repair_forecast import RepairForecast

    if not causes:
        return None
    waiting = [consumer for consumer in consumers if consumer.state in WAITING]
    repair = repair_of(tx, compiled, causes[0], RepairForecast(tx, compiled, now_us))
    assets = {
        name
        for cause in causes
        for name in cause.affected.assets
        if name in compiled.project.assets
    }
    by_hand = repair is None or repair.first is not None
    command = (
        f"headrace incident {causes[0].label}"
        if repair is None or by_hand
        else None
        if repair.automatic
        else repair.command
    )
    return HoldingRow(
        causes=len(causes), assets=len(assets), consumers=len(waiting), command=command
    )
