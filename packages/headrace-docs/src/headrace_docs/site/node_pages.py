"""The page of a source or an asset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

from headrace.extension import IncidentRow, counted
from headrace_docs.markup import Html, anchor, bdi, joined, link, tag
from headrace_docs.responses.description import (
    DescribedCheck,
    DescribedColumn,
    DescribedNode,
    NodeHistory,
    ReadEdge,
    StepRow,
)
from headrace_docs.site.consequences import Downstream, first_columns
from headrace_docs.site.frame import (
    ROWS_MAX,
    Frame,
    Page,
    domain_address,
    facts,
    listed,
    prose,
    row,
    state,
    table,
    when,
)
from headrace_docs.site.lineage_picture import Box, lineage_picture

OPAQUE = "opaque"
"""How a column reaches those of code that isn't SQL: it may reach all of them."""
STEPS_MAX = 8
"""Columns beside a column that its row names."""
STEPS_KEPT = 100_000
"""Links to columns that are kept to be written again."""
NAMED_MAX = 20
"""Consumers and columns that are named in one line."""


class NodePages:
    """Writes the pages of sources and assets.

    `terms` maps (node, column in lower case) to terms, `incidents` nodes to what happened there.
    """

    def __init__(
        self,
        frame: Frame,
        terms: Mapping[tuple[str, str], Sequence[str]],
        incidents: Mapping[str, Sequence[IncidentRow]],
    ) -> None:
        self._frame, self._terms, self._incidents = frame, terms, incidents
        described = frame.described
        self._kinds = {node.name: node.kind for node in described.nodes}
        self._contacts = {each.owner: each.contact for each in described.owners}
        self._downstream = Downstream(described)
        self._origins = first_columns(described)
        self._changed = {
            path: change
            for change in reversed(described.changes or ())
            for path in (*change.added, *change.changed)
        }

    def pages(self, node: DescribedNode) -> Iterator[Page]:
        """Yield the page of one node, and lists of their own for more neighbours than it holds."""
        yield self._page(node)
        for folder, title, edges in (
            ("reads", f"{node.name} reads", node.reads),
            ("readers", f"Readers of {node.name}", node.read_by),
        ):
            if len(edges) > ROWS_MAX:
                path = f"{folder}/{node.name}/index.html"
                rows = [self._edge(edge, "../../") for edge in edges]
                back = tag("p", self._frame.node_link(node.name, "../../"))
                yield from self._frame.paged(path, title, rows, listed, back, part="catalogue.html")

    def _page(self, node: DescribedNode) -> Page:
        here = self._incidents.get(node.name, ())
        return self._frame.page(
            f"nodes/{node.name}.html",
            node.name,
            prose(node.description),
            facts(
                *self._answers(node),
                ("kind", "source" if node.kind == "source" else f"asset in {node.kind}"),
                ("domain", node.domain and link(f"../{domain_address(node.domain)}", node.domain)),
                ("partitions", _partitions(node)),
                ("rows kept for", node.retain),
                ("stored as", node.materialize),
                ("tags", joined((bdi(tag_) for tag_ in node.tags), ", ")),
                ("declared in", node.place),
            ),
            tag("h2", "Lineage"),
            self._picture(node),
            self._edges("Reads", node.reads, f"reads/{node.name}"),
            self._edges("Read by", node.read_by, f"readers/{node.name}"),
            tag("h2", "Columns"),
            self._columns(node),
            tag("h2", "Contract and checks"),
            *_promises(node),
            tag("h2", "Incidents") if here else None,
            listed([incident_link(row, "../") for row in here]) if here else None,
            part="catalogue.html",
        )

    def _answers(self, node: DescribedNode) -> Iterator[tuple[str, object]]:
        """Yield what most readers come for."""
        window = self._frame.described.window
        history = self._frame.described.history.get(node.name, NodeHistory())
        change = self._changed.get(node.place.rpartition(":")[0])
        yield "owner", self._owner(node)
        yield "classified columns", _classified(node)
        yield "state", _standing(node)
        waiting = [row for row in self._incidents.get(node.name, ()) if row.state != "resolved"]
        links = [link(f"../incidents.html#{row.id}", row.id) for row in waiting[:NAMED_MAX]]
        yield "open incidents", joined(links, ", ")
        yield "passed last", _passed(history)
        if change is not None:
            changed = (f"version {change.version}, ", when(change.at), " by ", bdi(change.by))
            yield "file changed", joined(changed)
        yield "depend on it", self._depend(node)
        yield f"work in {window}", _work(history)

    def _owner(self, node: DescribedNode) -> Html:
        name = link(f"../owners.html#{anchor('owner', node.owner)}", node.owner)
        return joined([name, *map(bdi, self._contacts.get(node.owner, ()))], ", ")

    def _depend(self, node: DescribedNode) -> Html:
        after = self._downstream.of(node.name)
        links = [self._frame.node_link(name, "../") for name in after.consumers[:NAMED_MAX]]
        more = len(after.consumers) - NAMED_MAX
        return joined(
            [
                counted(after.assets, "asset"),
                *links,
                None if links else "no consumer",
                f"{more:,} more consumers" if more > 0 else None,
            ],
            ", ",
        )

    def _picture(self, node: DescribedNode) -> Html:
        return lineage_picture(
            self._box(node.name),
            [self._box(edge.node) for edge in node.reads],
            [self._box(edge.node) for edge in node.read_by],
        )

    def _box(self, name: str) -> Box:
        if name in self._frame.consumers:
            return Box(name, "consumer")
        return Box(name, "source" if self._kinds.get(name) == "source" else "asset")

    def _edges(self, title: str, edges: Sequence[ReadEdge], folder: str) -> Html:
        items = [self._edge(edge, "../") for edge in edges[:ROWS_MAX]]
        if len(edges) > ROWS_MAX:
            items.append(link(f"../{quote(folder)}/index.html", f"all {len(edges):,}"))
        return joined([tag("h3", title), listed(items) if items else tag("p", "Nothing.")])

    def _edge(self, edge: ReadEdge, up: str) -> Html:
        return joined(
            [self._frame.node_link(edge.node, up), tag("span", _mode(edge), class_="soft")]
        )

    def _columns(self, node: DescribedNode) -> Html:
        if not node.columns:
            return tag("p", "Nothing is known of its columns yet.")
        rows = [self._column(node, column) for column in node.columns]
        heads = ("column", "type", "classification", "term", "nulls", "distinct", "from", "into")
        return table(f"Columns of {node.name}", heads, rows)

    def _column(self, node: DescribedNode, column: DescribedColumn) -> Html:
        terms = self._terms.get((node.name, column.name.lower()), ())
        cells = (
            column.type,
            column.classification and f"{column.classification}{', masked' * column.masked}",
            joined(
                (link(f"../glossary.html#{anchor('term', name)}", name) for name in terms), ", "
            ),
            _share(column.nulls, column.profiled),
            None if column.distinct is None else f"{column.distinct:,}",
            self._comes_from(node, column),
            self._steps(column.goes_into),
        )
        name = tag("th", bdi(column.name), scope="row", id=anchor("column", column.name))
        return tag("tr", name, *(tag("td", "" if cell is None else cell) for cell in cells))

    def _comes_from(self, node: DescribedNode, column: DescribedColumn) -> Html:
        """Return links to the columns before it, and to those in which it comes in first."""
        near = {(step.node, step.column.lower()) for step in column.comes_from}
        first = [
            StepRow(node=name, column=other, transformation="source")
            for name, other in sorted(self._origins[node.name, column.name.lower()])
            if (name, other.lower()) not in near and name != node.name
        ]
        return joined(
            [
                self._steps(column.comes_from),
                tag("div", "first ", self._steps(first), class_="soft") if first else None,
            ]
        )

    def _steps(self, steps: Sequence[StepRow]) -> Html:
        """Return links to columns; of code that isn't SQL, one to the node."""
        codes = dict.fromkeys(step.node for step in steps if step.transformation == OPAQUE)
        columns = [step for step in steps if step.transformation != OPAQUE]
        links = [_step(step.node, step.column, step.transformation) for step in columns[:STEPS_MAX]]
        links += [joined([self._frame.node_link(name, "../"), " (code)"]) for name in codes]
        hidden = len(columns) + len(codes) - STEPS_MAX
        return joined([*links[:STEPS_MAX], *([f"{hidden:,} more"] if hidden > 0 else [])], ", ")


@lru_cache(maxsize=STEPS_KEPT)
def _step(node: str, column: str, transformation: str) -> Html:
    """Return a link to a column, which many others have, too."""
    return tag(
        "a",
        bdi(f"{node}.{column}"),
        href=f"{quote(node)}.html#{anchor('column', column)}",
        title=transformation.replace("_", " "),
    )


def incident_link(incident: IncidentRow, up: str) -> Html:
    """Return a line about an incident with a link to it."""
    return joined(
        [
            link(f"{up}incidents.html#{incident.id}", incident.id),
            " ",
            state(incident.state),
            " ",
            tag("span", incident.cause.summary, dir="auto"),
        ]
    )


def _standing(node: DescribedNode) -> Html:
    if node.newest is None:
        return joined([state(node.state), " nothing is published"])
    rows = "" if node.rows is None else f", {node.rows:,} rows"
    return joined(
        [
            state(node.state),
            f" {_newest(node)}{rows}, ",
            node.verdict or "unchecked",
            ", published ",
            when(node.published_at),
        ]
    )


def _newest(node: DescribedNode) -> str:
    return "the whole table" if node.newest == "*" else f"newest {node.newest}"


def _classified(node: DescribedNode) -> Html:
    columns = [column for column in node.columns if column.classification is not None]
    names = [
        joined([link(f"#{anchor('column', each.name)}", each.name), f" {each.classification}"])
        for each in columns[:NAMED_MAX]
    ]
    more = len(columns) - NAMED_MAX
    if not names:
        return tag("span", "none")
    return joined([*names, f"{more:,} more" if more > 0 else None], ", ")


def _passed(history: NodeHistory) -> Html:
    if history.passed_at is None:
        return tag("span", "no partition passed checks")
    name = "the whole table" if history.passed == "*" else history.passed
    return joined([name, ", published ", when(history.passed_at)])


def _work(history: NodeHistory) -> str:
    if history.median_seconds is None:
        return "no attempt ended"
    attempts = counted(history.attempts, "attempt")
    each, whole = _time(history.median_seconds), _time(history.total_seconds)
    return f"{attempts}, {each} each (median), {whole} in all"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _partitions(node: DescribedNode) -> str | None:
    return "one, the whole" if node.partition == "*" else node.partition


def _mode(edge: ReadEdge) -> str | None:
    return None if edge.mode in ("required", "consumer") else f" {edge.mode}"


def _share(nulls: int | None, rows: int | None) -> str | None:
    if nulls is None or not rows:
        return None
    return "0 %" if nulls == 0 else f"{max(nulls / rows, 0.001):.1%}".replace("%", " %")


def _promises(node: DescribedNode) -> list[Html]:
    contract, parts = node.contract, []
    if contract is None:
        parts.append(tag("p", "It has no contract."))
    else:
        named = joined([bdi(contract.name), f" {contract.version}, {contract.status}"])
        parts.append(
            facts(
                ("contract", named),
                ("service levels", joined((bdi(level) for level in contract.service), ", ")),
                ("not enforced", joined((bdi(text) for text in contract.unenforced), ", ")),
            )
        )
    if not node.checks:
        return [*parts, tag("p", "It has no checks of its own.")]
    rows = [
        row(bdi(check.name), check.kind, check.severity, _outcome(check)) for check in node.checks
    ]
    heads = ("check", "kind", "severity", "newest partition")
    return [*parts, table(f"Checks of {node.name}", heads, rows)]


def _outcome(check: DescribedCheck) -> Html | None:
    if check.outcome is None:
        return None
    return joined(
        [state(check.outcome), f" {counted(check.failing, 'row')}" if check.failing else None]
    )
