"""Columns whose values are limited: classified or forbidden ones, and columns derived from such.

A column that passes on another one's values unchanged has its mask. One that is computed from them
has none, unless it declares one itself or is declassified, for all groups or for those of enough
people. For asset code that Headrace can't analyse, all columns are computed from all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

from headrace.model import Project
from headrace.model.declassification import declassified
from headrace.model.masks import NO_DOMAIN, DeclaredMask, column_classes
from headrace.model.nodes import ColumnClass
from headrace.plan.compiled import Compiled
from headrace.plan.impact import ALL_COLUMNS, Lineage
from headrace.plan.thresholds import threshold_mask
from headrace.sql.values import Transformation


class ColumnLimits(NamedTuple):
    """The columns of a node that an identity sees masked or not at all, in lower case."""

    left_out: frozenset[str] = frozenset()
    masks: dict[str, DeclaredMask] = {}  # noqa: RUF012 - never changed
    known: frozenset[str] | None = None
    """The columns whose origin is known; a table's other columns are left out. None: all are."""
    opaque: bool = False
    """Whether the code's columns are unknown, and it is computed from such columns."""
    ordered: bool = False
    """Whether such a column may have decided the order in which the rows are stored."""

    @property
    def names(self) -> list[str]:
        """All of these columns, as far as their names are known."""
        return sorted({*self.left_out, *self.masks})

    @property
    def hides(self) -> bool:
        """Whether a column of the code in force isn't shown in the clear."""
        return self.opaque or bool(self.left_out or self.masks)

    @property
    def limited(self) -> bool:
        """Whether a column may be masked or left out, perhaps one that only older data has."""
        return self.hides or self.ordered or self.known is not None

    def left_out_of(self, columns: Iterable[str]) -> frozenset[str]:
        """Return those of a table's columns that are left out, in lower case."""
        return frozenset(
            name
            for name in map(str.lower, columns)
            if name in self.left_out or (self.known is not None and name not in self.known)
        )

    def without(self, columns: Collection[str]) -> ColumnLimits:
        """Return the limits without some columns, in lower case, which are shown in the clear."""
        return ColumnLimits(
            self.left_out - frozenset(columns),
            {name: mask for name, mask in self.masks.items() if name not in columns},
            None if self.known is None else self.known.union(columns),
            opaque=self.opaque,
            ordered=self.ordered,
        )


class LimitRoots(NamedTuple):
    """Columns where a limit begins, as (node, column in lower case)."""

    forbidden: frozenset[tuple[str, str]]
    classified: dict[tuple[str, str], ColumnClass]


def all_classified(project: Project) -> dict[tuple[str, str], ColumnClass]:
    """Return the columns that sources and assets classify, by (node, column in lower case)."""
    return {
        (name, column): value
        for name in (*project.sources, *project.assets)
        for column, value in column_classes(project, name).items()
    }


def classified_as_in(production: Project, project: Project, borrowed: Collection[str]) -> Project:
    """Return an environment's project with production's classifications.

    Files of a branch that classify a column no longer, or declassify it, show nobody production's
    values, nor values that are computed from them. What changed code computes is declassified in
    production only.
    """
    known = production.sources.keys() & project.sources.keys()
    return msgspec.structs.replace(
        project,
        sources=project.sources | {name: production.sources[name] for name in known},
        assets={
            name: production.assets[name]
            if name in borrowed and name in production.assets
            else msgspec.structs.replace(
                asset,
                declassify={},
                classified=column_classes(project, name) | column_classes(production, name),
            )
            for name, asset in project.assets.items()
        },
        contracts=project.contracts | production.contracts,
    )


def limits_of(
    project: Project,
    roots: LimitRoots,
    lineage: Lineage | None,
    node: str,
    names: Collection[str] | None,
) -> ColumnLimits:
    """Return the limits of a node whose code has the columns `names`; None: they aren't known."""
    known = [name.lower() for name in names or ()]
    own_columns = {column for name, column in (*roots.forbidden, *roots.classified) if name == node}
    asked = dict.fromkeys([*known, *sorted(own_columns)])
    limits = {column: limit_of(project, roots, lineage, node, column) for column in asked}
    masks = {column: mask for column, (_, mask) in limits.items() if mask is not None}
    left_out = {column for column, (limited, _) in limits.items() if limited} - masks.keys()
    nodes = {node} if lineage is None else lineage.nodes_above(node)
    ordered = any(name in nodes for name, _ in (*roots.forbidden, *roots.classified))
    if node in project.sources:
        return ColumnLimits(frozenset(left_out), masks, ordered=ordered)
    if names is None and not limit_of(project, roots, lineage, node, ALL_COLUMNS)[0]:
        return ColumnLimits(frozenset(left_out), masks, ordered=ordered)
    # A column that the code in force doesn't have is of other code: nobody can say from what
    # it was computed.
    return ColumnLimits(
        frozenset(left_out),
        masks,
        frozenset({*known, *own_columns}),
        opaque=names is None,
        ordered=ordered,
    )


class ClassifiedLimits:
    """The limits of nodes for everybody who may read no classified column."""

    def __init__(self, compiled: Compiled, lineage: Lineage) -> None:
        self._compiled, self._lineage = compiled, lineage
        self.roots = LimitRoots(frozenset(), all_classified(compiled.project))
        """The classified columns."""
        self._limits: dict[str, ColumnLimits] = {}

    def of(self, node: str, earlier: frozenset[tuple[str, str]] = frozenset()) -> ColumnLimits:
        """Return the limits of a node; columns in `earlier` are left out, and what has them."""
        if not self.roots.classified and not earlier:
            return ColumnLimits()
        if earlier:
            return self._of(node, LimitRoots(earlier, self.roots.classified))
        if node not in self._limits:
            self._limits[node] = self._of(node, self.roots)
        return self._limits[node]

    def _of(self, node: str, roots: LimitRoots) -> ColumnLimits:
        names = self._compiled.nodes[node].column_names
        return limits_of(self._compiled.project, roots, self._lineage, node, names)


class _Step(NamedTuple):
    """A column that is reached upstream, and how it got there."""

    node: str
    column: str
    unchanged: bool
    """Whether its values arrive unchanged."""
    open: bool
    """Whether no declassified or masked column lies between."""


def limit_of(
    project: Project, roots: LimitRoots, lineage: Lineage | None, node: str, column: str
) -> tuple[bool, DeclaredMask | None]:
    """Return whether a column is limited, and the mask that shows it nevertheless."""
    masks: set[DeclaredMask | None] = set()
    limited = False
    start = _Step(node, column, unchanged=True, open=True)
    waiting, seen = [start], {start}
    while waiting:
        step = waiting.pop()
        if _matches(step, roots.forbidden):
            return True, None
        if _is_classified(project, roots, step):
            limited = True
            mask = _mask_at(project, roots, step)
            if _is_decided(project, step, mask):
                masks.add(mask)
                # this mask covers the values above it; rules that forbid them hold nevertheless
                step = step._replace(open=False)
        new = {*_above(project, roots, lineage, step)} - seen
        seen |= new
        waiting += new
    mask = masks.pop() if len(masks) == 1 else None
    if limited and mask is None:
        mask = threshold_mask(project, lineage, node, column)
    return limited, mask


def _is_classified(project: Project, roots: LimitRoots, step: _Step) -> bool:
    return (
        step.open
        and step.column not in declassified(project.source_or_asset(step.node))
        and _matches(step, roots.classified)
    )


def _is_decided(project: Project, step: _Step, mask: DeclaredMask | None) -> bool:
    """Whether no mask further upstream can be the column's."""
    return mask is not None or step.node in project.sources or not step.unchanged


def _mask_at(project: Project, roots: LimitRoots, step: _Step) -> DeclaredMask | None:
    """Return the mask that a column declares itself, if its values arrive unchanged."""
    classified = roots.classified.get((step.node, step.column))
    node = project.source_or_asset(step.node)
    if classified is None or classified.mask is None or node is None or not step.unchanged:
        return None
    declared = msgspec.json.encode(classified.mask, order="sorted").decode()
    return DeclaredMask(declared, node.domain or NO_DOMAIN, node.name, step.column)


def _matches(step: _Step, columns: Collection[tuple[str, str]]) -> bool:
    """Whether a column is among others; `*` is if any column of its node is."""
    if step.column == ALL_COLUMNS:
        return any(node == step.node for node, _ in columns)
    return (step.node, step.column) in columns


def _above(
    project: Project, roots: LimitRoots, lineage: Lineage | None, step: _Step
) -> Iterator[_Step]:
    """Yield the columns whose values a column has, is computed from, or is decided by."""
    if lineage is None:
        return
    is_open = step.open and step.column not in declassified(project.source_or_asset(step.node))
    for node, column, transformation in lineage.deciding(step.node, step.column):
        if transformation is Transformation.GROUP_KEY and shows_groups(
            project, roots, lineage, node, column.lower()
        ):
            continue
        unchanged = step.unchanged and transformation is Transformation.IDENTITY
        yield _Step(node, column.lower(), unchanged, is_open)


_EQUAL_METHODS = ("hash", "token")
"""The masks of which equal values have equal results, and no others."""


def shows_groups(
    project: Project, roots: LimitRoots, lineage: Lineage | None, node: str, column: str
) -> bool:
    """Return whether readers may know which rows have equal values in a column.

    What is computed of other columns in the groups of such a key tells no more.
    """
    limited, mask = limit_of(project, roots, lineage, node, column)
    return not limited or (mask is not None and mask.parameters["method"] in _EQUAL_METHODS)
