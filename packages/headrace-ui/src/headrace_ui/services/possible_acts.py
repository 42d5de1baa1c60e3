"""What somebody may do, by a text such as `pause carrier`: acts that fit the state and the roles.

Nothing is done here. Each act has a page or a dialog that shows its plan, and asks first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Annotated

from msgspec import Meta

from headrace.access.permissions import may_call
from headrace.extension import SEE, Asset, ProjectSession, Source, command
from headrace.plan.compiled import is_view
from headrace.services.approvals import answerable
from headrace.services.incidents import incidents
from headrace.store.queries import backfill_plans, runs
from headrace.store.queries.runs import RUNNING, RunFilter
from headrace_ui.responses.catalog import PossibleActRow, PossibleActsResponse
from headrace_ui.views.node_cards import Cards

RUNS_MAX = 20
"""Runs under way that can be cancelled by name."""
NODE_ACTS: Mapping[str, str] = {
    "pause": "pause:pause",
    "resume": "pause:resume",
    "backfill": "backfills:run_backfill",
    "run": "run:run",
}
"""Act on a source or an asset → the function that it calls."""
BACKFILL_ACTS: Mapping[str, str] = {
    "pause": "backfills:pause_backfill",
    "resume": "backfills:resume_backfill",
    "cancel": "backfills:cancel_backfill",
}
FIT_BACKFILL = {"running": ("pause", "cancel"), "paused": ("resume", "cancel")}
"""State of a backfill → the acts that fit."""


@command("acts possible", SEE, lists=True, http="GET /possible-acts possible_acts")
def possible_acts(
    session: ProjectSession, q: str = "", limit: Annotated[int, Meta(ge=1, le=100)] = 20
) -> PossibleActsResponse:
    """Return the acts of a text: of a verb and words of a name, or of a name alone.

    A verb may be cut short (`pau carrier`). Without a name, all that it can be done to is listed;
    without a verb, the acts of the node that is called so.
    """
    words = q.lower().split()
    verbs = {act for act in _ACTS if words and act.startswith(words[0])}
    rows = list(islice(_of_verbs(session, verbs, words[1:]), limit + 1)) if verbs else []
    if words and len(rows) <= limit:
        rows += _of_name(session, q.strip())
    return PossibleActsResponse(query=q, acts=rows[:limit], more=len(rows) > limit)


def _of_verbs(
    session: ProjectSession, verbs: set[str], words: list[str]
) -> Iterator[PossibleActRow]:
    for listed, acts in _LISTS:
        if verbs.intersection(acts):
            yield from (row for row in listed(session, words) if row.act in verbs)


def _of_name(session: ProjectSession, name: str) -> list[PossibleActRow]:
    node = session.project().node(name)
    if not isinstance(node, Source | Asset) or not session.shows(name):
        return []
    return list(_acts_of(session, node, Cards(session).paused(name)))


def _on_nodes(session: ProjectSession, words: list[str]) -> Iterator[PossibleActRow]:
    cards = Cards(session)
    nodes = [node for node in cards.nodes if session.shows(node.name) and _fits(node.name, words)]
    first = words[0] if words else ""
    nodes.sort(key=lambda node: (not node.name.lower().startswith(first), len(node.name)))
    for node in nodes:
        yield from _acts_of(session, node, cards.paused(node.name))


def _acts_of(
    session: ProjectSession, node: Source | Asset, paused: bool
) -> Iterator[PossibleActRow]:
    if is_view(session.project(), node.name):
        return
    kind = "asset" if isinstance(node, Asset) else "source"
    for act, function in NODE_ACTS.items():
        if act == ("pause" if paused else "resume") or (act == "backfill" and kind == "source"):
            continue
        if may_call(session, function, node):
            detail = f"{kind}, owner {node.owner}"
            yield PossibleActRow(act=act, kind=kind, name=node.name, detail=detail)


def _on_incidents(session: ProjectSession, words: list[str]) -> Iterator[PossibleActRow]:
    if not may_call(session, "fix:fix", None):
        return
    for row in incidents(session):
        repair = row.repair
        by_machine = repair is not None and not repair.automatic and not repair.first
        text = f"{row.id} {row.cause.node}"
        if by_machine and row.state == "open" and _fits(text, words):
            detail = f"{row.cause.node}: {row.cause.summary}"
            yield PossibleActRow(act="repair", kind="incident", name=row.id, detail=detail)


def _on_backfills(session: ProjectSession, words: list[str]) -> Iterator[PossibleActRow]:
    if session.store is None or session.visible is not None:
        return
    with session.store.read() as tx:
        plans = backfill_plans.open_backfills(tx)
    for plan in plans:
        for act in FIT_BACKFILL[plan.state]:
            if _fits(f"backfill {plan.id}", words) and may_call(session, BACKFILL_ACTS[act], None):
                yield PossibleActRow(
                    act=act, kind="backfill", name=str(plan.id), detail=plan.reason
                )


def _on_runs(session: ProjectSession, words: list[str]) -> Iterator[PossibleActRow]:
    if session.store is None or session.visible is not None:
        return
    if not may_call(session, "interventions:cancel", None):
        return
    with session.store.read() as tx:
        under_way = runs.page(tx, RunFilter(state=RUNNING), limit=RUNS_MAX, before=None)
    for run in under_way:
        if _fits(f"run {run.id}", words):
            detail = f"{run.kind}, by {run.actor}"
            yield PossibleActRow(act="cancel", kind="run", name=str(run.id), detail=detail)


def _on_approvals(session: ProjectSession, words: list[str]) -> Iterator[PossibleActRow]:
    if not may_call(session, "approvals:approve", None):
        return
    for row in answerable(session):
        if _fits(f"{row.kind} {row.id}", words):
            for act in ("approve", "reject"):
                detail = f"{row.kind} of {row.asked_by}: {row.reason or 'no reason given'}"
                yield PossibleActRow(act=act, kind="approval", name=row.id, detail=detail)


def _fits(text: str, words: list[str]) -> bool:
    return all(word in text.lower() for word in words)


_List = Callable[[ProjectSession, list[str]], Iterator[PossibleActRow]]
_LISTS: tuple[tuple[_List, tuple[str, ...]], ...] = (
    (_on_approvals, ("approve", "reject")),
    (_on_incidents, ("repair",)),
    (_on_backfills, tuple(BACKFILL_ACTS)),
    (_on_runs, ("cancel",)),
    (_on_nodes, tuple(NODE_ACTS)),
)
_ACTS = tuple(dict.fromkeys(act for _, acts in _LISTS for act in acts))
