"""What probes ask: whether this server can do its work."""

from __future__ import annotations

from typing import Protocol

import msgspec

from headrace.model import HeadraceError
from headrace.operations.session import ProjectSession
from headrace.run.figures import LeaderCounters
from headrace.store.lease import LEASE_SECONDS, holder

_ABLE = ("leader", "standby")


class ServerInfo(Protocol):
    """What is known of the process that this room is the door of; read from another thread."""

    @property
    def role(self) -> str:
        """`starting`, `leader`, `standby`, `cut_off` or `stopping`."""

    @property
    def figures(self) -> LeaderCounters | None:
        """What it has counted since it leads; None while it doesn't."""


class Readiness(msgspec.Struct, frozen=True):
    """`/readyz`. `lease_age_seconds` is how long ago whoever leads has last said so; null where nobody leads."""

    ready: bool
    role: str
    store: str
    """`reachable`, or what is wrong with it."""
    lease_epoch: int | None = None
    lease_age_seconds: float | None = None


def readiness(session: ProjectSession, server: ServerInfo) -> Readiness:
    """Whether it leads or stands by, and the state can be read. A leader whose lease has lapsed isn't ready."""
    role = str(server.role)
    try:
        epoch, age = lease(session)
    except HeadraceError:
        return Readiness(ready=False, role=role, store="the state can't be read")
    able = role in _ABLE and not (role == "leader" and age is None)
    return Readiness(ready=able, role=role, store="reachable", lease_epoch=epoch, lease_age_seconds=age)


def lease(session: ProjectSession) -> tuple[int | None, float | None]:
    """The epoch of who leads, and how many seconds ago the lease was renewed; None where nobody leads."""
    if session.store is None:
        return None, None
    with session.store.read() as tx:
        leads = holder(tx)
        now = tx.real_us()
    if leads is None:
        return None, None
    return leads.epoch, max(0.0, round(LEASE_SECONDS - (leads.expires_at_us - now) / 1e6, 3))
