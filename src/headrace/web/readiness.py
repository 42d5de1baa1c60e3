"""The readiness probe: whether a server can do its work."""

from __future__ import annotations

from typing import Protocol

import msgspec

from headrace.model import HeadraceError
from headrace.project.session import ProjectSession
from headrace.runtime.runs import LeaderCounters
from headrace.store.lease import LEASE_SECONDS, holder

_READY_ROLES = ("leader", "standby")


class ServerInfo(Protocol):
    """What the server knows of the leader in its process; read from another thread."""

    @property
    def role(self) -> str:
        """The state: `starting`, `leader`, `standby`, `cut_off` or `stopping`."""

    @property
    def figures(self) -> LeaderCounters | None:
        """The leader's counters since it leads; None while it doesn't."""


class Readiness(msgspec.Struct, frozen=True):
    """The response of `/readyz`.

    `lease_age_seconds` is the time since the leader renewed its lease; null if there is no leader.
    """

    ready: bool
    role: str
    store: str
    """`reachable`, or what is wrong with it."""
    lease_epoch: int | None = None
    lease_age_seconds: float | None = None


def readiness(session: ProjectSession, server: ServerInfo) -> Readiness:
    """Whether the process leads or stands by, and the state can be read.

    A leader with an expired lease isn't ready.
    """
    role = str(server.role)
    try:
        epoch, age = lease_age(session)
    except HeadraceError:
        return Readiness(ready=False, role=role, store="the state can't be read")
    able = role in _READY_ROLES and not (role == "leader" and age is None)
    return Readiness(
        ready=able, role=role, store="reachable", lease_epoch=epoch, lease_age_seconds=age
    )


def lease_age(session: ProjectSession) -> tuple[int | None, float | None]:
    """Return the leader's epoch and the age of its lease in seconds; None if there is no leader."""
    if session.store is None:
        return None, None
    with session.store.read() as tx:
        leads = holder(tx)
        now = tx.real_us()
    if leads is None:
        return None, None
    return leads.epoch, max(0.0, round(LEASE_SECONDS - (leads.expires_at_us - now) / 1e6, 3))
