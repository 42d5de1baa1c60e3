"""Which cards a view has: domains, what is around a node, or what is below one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from headrace.model import UsageError
from headrace.operations.graph.responses import CardView, EdgeView, GraphView
from headrace.operations.graph.standing import GraphOverview, domains_of
from headrace.operations.incidents import ID, incident
from headrace.operations.session import ProjectSession
from headrace.operations.targets import unknown

MODES = ("domains", "focus", "blast")
BUDGET_MAX = 150
HOPS_MAX = 10
_REST = "more:down:"
ROLLED_MAX = 12
"""So many cards stand for the rest on one side; the smallest domains share the last."""


class GraphViewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A view: `focus` is `hops` both ways around `root`, `blast` all below `root` or below an incident's cause."""

    mode: str = "domains"
    root: str | None = None
    hops: int = 2
    budget: int = 48


def view(session: ProjectSession, query: GraphViewQuery) -> GraphView:
    """At most `budget` nodes in cards of their own, the nearest to the root first. UsageError for a mode or a root that there isn't."""
    if query.mode not in MODES:
        raise UsageError(f"{query.mode[:40]!r} is no view", hint=f"one of {', '.join(MODES)}")
    whole = GraphOverview(session)
    if query.mode == "domains":
        return _domains(session, whole, query)
    root = _root(session, whole, query.root)
    below = whole.reach.distances(root, whole.reach.below, query.hops if query.mode == "focus" else None)
    above = whole.reach.distances(root, whole.reach.above, query.hops) if query.mode == "focus" else {root: 0}
    steps = {**{name: -n for name, n in above.items()}, **below}
    nearest = sorted(steps, key=lambda name: (abs(steps[name]), name))
    shown = {name: steps[name] for name in nearest[: query.budget]}
    rolled = _rolled(whole, steps, shown)
    return _drawn(session, whole, query, root, shown, rolled)


def _root(session: ProjectSession, whole: GraphOverview, root: str | None) -> str:
    if root is None:
        raise UsageError("what is looked at?", hint="root=NODE, or root=INC-1 with mode=blast")
    result = incident(session, root).cause.node if ID.fullmatch(root) else root
    if result not in whole.reach.above and result not in whole.reach.below:
        raise unknown(result, whole.names)
    return result


def _rolled(whole: GraphOverview, steps: Mapping[str, int], shown: Mapping[str, int]) -> dict[str, str]:
    """Of what has no card of its own: the card that stands for it."""
    results: dict[str, str] = {}
    for side, names in (
        ("up", [name for name, at in steps.items() if at < 0 and name not in shown]),
        ("down", [name for name, at in steps.items() if at >= 0 and name not in shown]),
    ):
        domains = [domain for domain, _ in Counter(map(whole.domain, names)).most_common(ROLLED_MAX)]
        for name in names:
            domain = whole.domain(name)
            results[name] = f"more:{side}:{domain if domain in domains else ''}"
    return results


def _drawn(
    session: ProjectSession, whole: GraphOverview, query: GraphViewQuery, root: str, shown: Mapping[str, int], rolled: Mapping[str, str]
) -> GraphView:
    groups: dict[str, list[str]] = {}
    for name, card in rolled.items():
        groups.setdefault(card, []).append(name)
    card_of = {**rolled, **{name: whole.id(name) for name in shown}}
    furthest = {"up": min(shown.values(), default=0) - 1, "down": max(shown.values(), default=0) + 1}
    cards = [
        *(_with_hidden(whole, card, card_of) for card in whole.each(dict(shown))),
        *(whole.several(card, "more", card.split(":", 2)[2], names, furthest[card.split(":")[1]]) for card, names in groups.items()),
    ]
    return GraphView(
        now=session.now(), mode=query.mode, root=whole.id(root), hops=query.hops if query.mode == "focus" else None,
        total=len(whole.names), shown=len(shown), cards=cards, edges=_edges(whole, card_of),
    )  # fmt: skip


def _with_hidden(whole: GraphOverview, card: CardView, card_of: Mapping[str, str]) -> CardView:
    above = sum(other not in card_of for other in whole.reach.above.get(card.name, ()))
    below = sum(other not in card_of for other in whole.reach.below.get(card.name, ()))
    return msgspec.structs.replace(card, hidden_above=above, hidden_below=below) if above or below else card


def _domains(session: ProjectSession, whole: GraphOverview, query: GraphViewQuery) -> GraphView:
    """A card for each domain; where there are more than the budget, the smallest share one."""
    domains = domains_of(whole)
    largest = sorted(domains.names, key=lambda domain: len(domains.names[domain]), reverse=True)[: query.budget]
    own = {domain: f"domain:{domain}" for domain in largest}
    groups: dict[str, list[str]] = {}
    for domain, names in domains.names.items():
        groups.setdefault(own.get(domain, _REST), []).extend(names)
    weights: Counter[tuple[str, str]] = Counter()
    for (above, below), weight in domains.edges.items():
        weights[own.get(above, _REST), own.get(below, _REST)] += weight
    cards = [whole.several(card, card.partition(":")[0], card.split(":")[-1], names, 0) for card, names in groups.items()]
    return GraphView(
        now=session.now(), mode=query.mode, root=None, hops=None, total=len(whole.names), shown=0, cards=cards,
        edges=_drawn_edges(weights),
    )  # fmt: skip


def _edges(whole: GraphOverview, card_of: Mapping[str, str]) -> list[EdgeView]:
    """Between the cards that are there."""
    weights: Counter[tuple[str, str]] = Counter()
    for name, card in card_of.items():
        for parent in whole.reach.above.get(name, ()):
            if parent in card_of:
                weights[card_of[parent], card] += 1
    return _drawn_edges(weights)


def _drawn_edges(weights: Mapping[tuple[str, str], int]) -> list[EdgeView]:
    """Within one card there is none."""
    return [EdgeView(from_=item, to=other, weight=n) for (item, other), n in sorted(weights.items()) if item != other]
