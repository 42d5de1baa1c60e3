"""The whole graph in one view: each node of a small project, of a larger one groups that open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from headrace.extension import UsageError
from headrace.model import Project
from headrace.project.caches import cached_by_version
from headrace_ui.responses.catalog import CardView, EdgeView, GraphView
from headrace_ui.views.graph_cards import GraphOverview, edges_between, weighted_edges

GROUPINGS = ("domain", "owner", "folder", "kind")
"""What nodes are grouped by, in the order in which it is tried."""
CARDS_MAX = 150
"""Cards in a view: a project with at most this many nodes and consumers is drawn whole."""
_REST = "more:down:"


class Groups:
    """The nodes and consumers of each group, and the number of edges between groups."""

    def __init__(self, whole: GraphOverview, by: str) -> None:
        self.by = by
        group = {name: group_of(whole.project, name, by) for name in whole.names}
        self.names: dict[str, list[str]] = {}
        self.edges: Counter[tuple[str, str]] = Counter()
        for name, below in group.items():
            self.names.setdefault(below, []).append(name)
            self.edges.update(
                (group[parent], below)
                for parent in whole.reach.above.get(name, ())
                if parent in group
            )


def group_of(project: Project, name: str, by: str) -> str:
    """Return a node's group; empty without one."""
    if by == "kind":
        return project.kind(name) or ""
    node = project.node(name)
    if node is None:
        return ""
    if by == "folder":
        folder = str(PurePosixPath(node.place.file).parent)
        return "" if folder == "." else folder
    return (node.domain if by == "domain" else node.owner) or ""


def overview(whole: GraphOverview, by: str | None, opened: Sequence[str], budget: int) -> GraphView:
    """Return all nodes in cards of their own, or in groups if they are many or `by` is given.

    The nodes of `opened` groups have cards of their own, as far as CARDS_MAX allows. Beyond
    `budget`, the smallest groups share a card. Raise UsageError for an unknown `by`.
    """
    if by is not None and by not in GROUPINGS:
        raise UsageError(f"{by[:40]!r} is no grouping", hint=f"one of {', '.join(GROUPINGS)}")
    if by is None and len(whole.names) <= CARDS_MAX:
        cards = whole.each(dict.fromkeys(whole.names, 0))
        card_of = {card.name: card.id for card in cards}
        return _view(whole, None, cards, edges_between(whole, card_of))
    groups = _groups(whole, by)
    card_of_group = _cards_of_groups(groups, budget)
    single = _opened(groups, opened, CARDS_MAX - len(set(card_of_group.values())))
    rest = _rest(groups, card_of_group, frozenset(single))
    cards = [
        *whole.each(dict.fromkeys(single, 0)),
        *(_group_card(whole, card, names) for card, names in rest.items()),
    ]
    if not single:
        return _view(whole, groups.by, cards, _edges_of_groups(groups, card_of_group))
    card_of = {name: card for card, names in rest.items() for name in names}
    card_of |= {name: whole.id(name) for name in single}
    return _view(whole, groups.by, cards, edges_between(whole, card_of))


def _rest(
    groups: Groups, card_of_group: Mapping[str, str], single: Collection[str]
) -> dict[str, list[str]]:
    """Return the nodes on each group's card: those without a card of their own."""
    rest: dict[str, list[str]] = {}
    for group, names in groups.names.items():
        if left := [name for name in names if name not in single]:
            rest.setdefault(card_of_group[group], []).extend(left)
    return rest


def _group_card(whole: GraphOverview, card: str, names: Sequence[str]) -> CardView:
    kind, _, group = card.partition(":")
    return whole.several(card, kind, "" if card == _REST else group, names, 0)


def _groups(whole: GraphOverview, by: str | None) -> Groups:
    """Return the groups by `by`, or the first useful ones; cached per applied version."""
    session = whole.session

    def make() -> Groups:
        return _first_useful(whole) if by is None else Groups(whole, by)

    if session.version is None or session.visible is not None or whole.past is not None:
        return make()
    return cached_by_version(session, f"groups by {by or 'itself'}", make)


def _first_useful(whole: GraphOverview) -> Groups:
    """Return the first grouping that divides the project, and of which most nodes have a value."""
    for by in GROUPINGS:
        groups = Groups(whole, by)
        if len(groups.names) > 1 and 2 * len(groups.names.get("", ())) <= len(whole.names):
            return groups
    return Groups(whole, GROUPINGS[-1])


def _cards_of_groups(groups: Groups, budget: int) -> dict[str, str]:
    """Return each group's card: one for each of the largest groups, one for the others."""
    largest = sorted(groups.names, key=lambda group: len(groups.names[group]), reverse=True)
    alone = set(largest[:budget])
    return {group: f"{groups.by}:{group}" if group in alone else _REST for group in groups.names}


def _opened(groups: Groups, opened: Sequence[str], room: int) -> list[str]:
    """Return the nodes of opened groups, at most `room`."""
    names = [name for group in dict.fromkeys(opened) for name in groups.names.get(group, ())]
    return names[: max(room, 0)]


def _edges_of_groups(groups: Groups, card_of_group: dict[str, str]) -> list[EdgeView]:
    weights: Counter[tuple[str, str]] = Counter()
    for (above, below), weight in groups.edges.items():
        weights[card_of_group[above], card_of_group[below]] += weight
    return weighted_edges(weights)


def _view(
    whole: GraphOverview, by: str | None, cards: list[CardView], edges: list[EdgeView]
) -> GraphView:
    return GraphView(
        now=whole.session.now(),
        mode="overview",
        by=by,
        root=None,
        hops=None,
        total=len(whole.names),
        shown=sum(card.state is not None for card in cards),
        cards=cards,
        edges=edges,
    )
