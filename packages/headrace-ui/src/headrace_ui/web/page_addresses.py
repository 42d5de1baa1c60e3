"""Which addresses are pages of the web UI, and whether what they name exists."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from starlette.requests import Request

from headrace.access.permissions import check_call
from headrace.extension import HeadraceError, ProjectSession
from headrace.model import UnknownName
from headrace.repairs.incident_rows import found_in, number_of
from headrace.services import approvals, backfills
from headrace.services.figures import WORKED
from headrace.store.queries import backfill_plans
from headrace_ui.services.run_load import visible_run


def _has_node(session: ProjectSession, name: str) -> bool:
    project = session.project()
    known = project.consumers.get(name) or project.node(name)
    return known is not None and session.shows(known.name)


def _has_incident(session: ProjectSession, name: str) -> bool:
    if session.store is None:
        return False
    with session.store.read() as tx:
        return session.shows(found_in(tx, number_of(name)).node)


def _has_run(session: ProjectSession, name: str) -> bool:
    check_call(session, "headrace_ui.services.run_pages:run_timeline", {})
    if session.store is None:
        return False
    with session.store.read() as tx:
        visible_run(session, tx, name)  # it raises UnknownName
    return True


def _has_backfill(session: ProjectSession, name: str) -> bool:
    if name == NEW_BACKFILL:
        return True
    check_call(session, "backfills:get_backfill", {})
    number = backfills.number_of(session, name)
    if session.store is None:
        return False
    with session.store.read() as tx:
        return backfill_plans.get(tx, number) is not None


def _has_approval(session: ProjectSession, name: str) -> bool:
    approvals.approval(session, name)  # it raises UnknownName
    return True


def _has_figure(_: ProjectSession, name: str) -> bool:
    return name in WORKED


NEW_BACKFILL = "new"
"""`/backfills/new` is where a backfill is planned."""


class Page(NamedTuple):
    """A page of the UI by the first part of its address.

    `alone`: there is a page without a second part. `exists` is asked about the second part; None if
    the page has none, or says itself that there is nothing.
    """

    alone: bool = True
    second: bool = True
    exists: Callable[[ProjectSession, str], bool] | None = None


PAGES = {
    "incidents": Page(exists=_has_incident),
    "consumers": Page(exists=_has_node),
    "assets": Page(exists=_has_node),
    "sources": Page(alone=False, exists=_has_node),
    "contracts": Page(alone=False, exists=_has_node),
    "runs": Page(exists=_has_run),
    "backfills": Page(exists=_has_backfill),
    "wall": Page(second=False),
    "approvals": Page(exists=_has_approval),
    "figures": Page(alone=False, exists=_has_figure),
    "graph": Page(second=False),
    "calendar": Page(second=False),
    "plan": Page(second=False),
    "dev": Page(second=False),
    "checks": Page(second=False),
    "use": Page(second=False),
    "bottleneck": Page(second=False),
    "complexity": Page(second=False),
    "sql": Page(second=False),
    "audit": Page(second=False),
}
"""Addresses of the UI besides `/`, by their first part."""


def parts_of(request: Request) -> list[str]:
    """Return the parts of an address. A name may contain a slash, which is encoded."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    return [unquote(part) for part in path.strip("/").split("/")]


def is_page(parts: list[str]) -> bool:
    """Return whether the UI has a page at an address, whatever its name is."""
    if parts == [""]:
        return True
    page = PAGES.get(parts[0])
    return page is not None and (
        (len(parts) == 1 and page.alone) or (len(parts) == 2 and page.second)
    )


def names_nothing(session: ProjectSession, parts: list[str]) -> bool:
    """Return whether an address names something that doesn't exist, or that is hidden.

    Not if that can't be told: the page says then what is wrong.
    """
    page = PAGES.get(parts[0])
    if len(parts) != 2 or page is None or page.exists is None:
        return False
    with suppress(HeadraceError):
        check_call(session, "status:status", {})
        try:
            return not page.exists(session, parts[1])
        except UnknownName:
            return True
    return False
