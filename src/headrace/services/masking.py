"""Columns whose values somebody may not see: classified ones, forbidden ones, and derived ones.

A column with a mask is shown masked. A column without one is left out, because a query over a
redacted value would give a wrong result silently. A column that passes on another one's values
unchanged has its mask; one that is computed from them is left out unless it has a mask of its own,
or is declassified. For asset code that Headrace can't analyse, all columns are computed from all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from headrace.lake import LakeColumn
from headrace.lake.masks import ColumnMask
from headrace.model import Project, Refused
from headrace.model.access import AccessRules, Permission
from headrace.model.masks import column_classes, declassified
from headrace.model.nodes import ColumnClass
from headrace.plan import Compiled
from headrace.plan.classification import WITHOUT_VALUES
from headrace.plan.impact import ALL_COLUMNS, Lineage
from headrace.security.access import Identity, IdentityKind, forbidden_columns
from headrace.security.keys import KeyStore
from headrace.security.masks import NO_DOMAIN, DeclaredMask, column_mask
from headrace.services.access_events import note_clear_read
from headrace.services.permissions import decision, rules_of, unrestricted
from headrace.services.responses.plans import ClassifiedColumnRow
from headrace.services.session import ProjectSession
from headrace.sql.values import Transformation


class ColumnLimits(NamedTuple):
    """The columns of a node that an identity sees masked or not at all, in lower case."""

    left_out: frozenset[str] = frozenset()
    masks: dict[str, DeclaredMask] = {}  # noqa: RUF012 - never changed
    known: frozenset[str] | None = None
    """The columns whose origin is known; a table's other columns are left out. None: all are."""
    opaque: bool = False
    """Whether the code's columns are unknown, and it is computed from such columns."""

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
        return self.hides or self.known is not None

    def left_out_of(self, columns: Iterable[str]) -> frozenset[str]:
        """Return those of a table's columns that are left out, in lower case."""
        return frozenset(
            name
            for name in map(str.lower, columns)
            if name in self.left_out or (self.known is not None and name not in self.known)
        )


class _Roots(NamedTuple):
    """Columns where a limit begins, as (node, column in lower case)."""

    forbidden: frozenset[tuple[str, str]]
    classified: dict[tuple[str, str], ColumnClass]


def column_limits(
    session: ProjectSession,
    node: str,
    identity: Identity | None = None,
    *,
    over_network: bool = False,
) -> ColumnLimits:
    """Return the columns of a node that an identity (the session's) may not see in the clear.

    Without `access.yaml` that is none for local users. Over the network, nobody sees classified
    columns in the clear.
    """
    roots = _roots(session, identity or session.identity, everything=over_network)
    if not roots.forbidden and not roots.classified:
        return ColumnLimits()
    compiled = session.compiled
    names = None if compiled is None else compiled.nodes[node].column_names
    return _limits_of(session.project(), roots, session.lineage, node, names)


def _limits_of(
    project: Project,
    roots: _Roots,
    lineage: Lineage | None,
    node: str,
    names: Collection[str] | None,
) -> ColumnLimits:
    known = [name.lower() for name in names or ()]
    own_columns = {column for name, column in (*roots.forbidden, *roots.classified) if name == node}
    asked = dict.fromkeys([*known, *sorted(own_columns)])
    limits = {column: _limit(project, roots, lineage, node, column) for column in asked}
    masks = {column: mask for column, (_, mask) in limits.items() if mask is not None}
    left_out = {column for column, (limited, _) in limits.items() if limited} - masks.keys()
    if node in project.sources:
        return ColumnLimits(frozenset(left_out), masks)
    if names is None and not _limit(project, roots, lineage, node, ALL_COLUMNS)[0]:
        return ColumnLimits(frozenset(left_out), masks)
    # A column that the code in force doesn't have is of other code: nobody can say from what
    # it was computed.
    return ColumnLimits(
        frozenset(left_out), masks, frozenset({*known, *own_columns}), opaque=names is None
    )


def classified_rows(
    compiled: Compiled, lineage: Lineage, nodes: Iterable[str]
) -> dict[str, ClassifiedColumnRow]:
    """Return the classified columns of some nodes, declared and derived, by NODE.COLUMN."""
    project = compiled.project
    roots = _Roots(frozenset(), _all_classified(project))
    rows: dict[str, ClassifiedColumnRow] = {}
    for node in nodes if roots.classified else ():
        classes = column_classes(project, node)
        for column in dict.fromkeys((*(compiled.nodes[node].column_names or ()), *classes)):
            limited, mask = _limit(project, roots, lineage, node, column.lower())
            if limited:
                declared = classes.get(column.lower())
                rows[f"{node}.{column}".lower()] = ClassifiedColumnRow(
                    column=f"{node}.{column}",
                    classification=None if declared is None else declared.name,
                    mask=None if mask is None else mask.parameters["method"],
                )
    return rows


def _all_classified(project: Project) -> dict[tuple[str, str], ColumnClass]:
    return {
        (name, column): value
        for name in (*project.sources, *project.assets)
        for column, value in column_classes(project, name).items()
    }


def reversible_mask(session: ProjectSession, node: str, column: str) -> DeclaredMask:
    """Return the mask `token` of a column, which may come from a column above it.

    Raise Refused if it has no such mask, or if a rule forbids the column.
    """
    roots = _roots(session, session.identity, everything=True)
    _, mask = _limit(session.project(), roots, session.lineage, node, column.lower())
    if mask is None or mask.parameters["method"] != "token":
        raise Refused(
            f"{node}.{column[:60]} has no mask with the method `token`, or a rule forbids it",
            hint=f"headrace lineage {node} shows the columns; a token names no column itself",
        )
    return mask


def key_store(session: ProjectSession) -> KeyStore:
    """Return the key store; environments use production's, because they read its data."""
    production = session.production or session
    return KeyStore(production.data_folder, production.root, production.settings.keys)


def fitting_masks(
    session: ProjectSession, limits: ColumnLimits, columns: Sequence[LakeColumn]
) -> tuple[frozenset[str], dict[str, ColumnMask]]:
    """Return the columns to leave out, and the masks of the others for a table's columns.

    A mask that doesn't fit its column's type leaves the column out. Raises KeyProblem.
    """
    store = key_store(session)
    by_name = {column.name.lower(): column for column in columns}
    left_out, masks = {*limits.left_out, *limits.left_out_of(by_name)}, {}
    for name, declared in limits.masks.items():
        mask = (
            column_mask(declared, by_name[name], by_name, store.data_key)
            if name in by_name
            else None
        )
        if mask is None:
            left_out.add(name)
        else:
            masks[name] = mask
    return frozenset(left_out), masks


def refuse_hidden(
    session: ProjectSession, node: str, command: str, columns: Iterable[str] = ()
) -> None:
    """Raise Refused if a command would show rows with columns that are hidden or masked.

    `columns` are those of a table that earlier code may have made.
    """
    limits, columns = column_limits(session, node), list(columns)
    hidden = sorted({*limits.names, *limits.left_out_of(columns)})
    if limits.opaque or hidden:
        which = ", ".join(hidden[:8]) or "its code's columns aren't known"
        raise Refused(
            f"{command} would show columns of {node} that you may not read: {which}",
            hint=f"headrace read {node} masks them or leaves them out",
        )
    note_clear_columns(session, node, limits, columns)


def note_clear_columns(
    session: ProjectSession,
    node: str,
    limits: ColumnLimits,
    columns: Iterable[str],
    chosen: Iterable[str] | None = None,
) -> None:
    """Note for the audit trail which classified columns the session's identity gets in the clear.

    `limits` are those of the identity, and `columns` those of the node's table; of them, the
    identity gets those that are `chosen` (None: all), unless they are hidden from it. Raise
    ProjectError if it can't be recorded.
    """
    if unrestricted(session):
        return
    columns, every = list(columns), column_limits(session, node, over_network=True)
    clear = {*every.names, *every.left_out_of(columns)}
    clear -= {*limits.names, *limits.left_out_of(columns)}
    if chosen is not None:
        clear &= {name.lower() for name in chosen}
    note_clear_read(session, node, clear)


def all_left_out(name: str) -> Refused:
    """Return the error for a table of which no column may be read."""
    return Refused(
        f"you may not read any column of {name}: all of them are classified or forbidden, or"
        " computed from such columns",
        hint=f"headrace lineage {name} shows from which columns",
    )


def _roots(session: ProjectSession, identity: Identity, *, everything: bool) -> _Roots:
    """Return the columns that rules or classifications hide from an identity.

    With `everything`, all classified columns are among them.
    """
    rules, project = rules_of(session), session.project()
    unlimited = rules is None and identity.kind is IdentityKind.LOCAL
    if unlimited and not everything:
        return _Roots(frozenset(), {})
    names = [*project.sources, *project.assets]
    forbidden = {
        (name, column)
        for name in names
        for env in {session.env, _origin(session, name).env}
        for column in forbidden_columns(rules, identity, name, env=env)
    }
    classes = {name: column_classes(project, name) for name in names}
    classified = {
        (name, column): value
        for name, columns in classes.items()
        if columns and (everything or not _may_reveal(session, rules, identity, name))
        for column, value in columns.items()
    }
    return _Roots(frozenset(forbidden), classified)


def _may_reveal(
    session: ProjectSession, rules: AccessRules | None, identity: Identity, name: str
) -> bool:
    node, origin = session.project().source_or_asset(name), _origin(session, name)
    return any(
        decision(origin, rules, Permission.REVEAL, about, identity).allowed
        for about in (None, node)
    )


def _origin(session: ProjectSession, name: str) -> ProjectSession:
    """Return the session of the environment that a node's rows are read from.

    A role in a test environment says nothing about rows that it borrows from production.
    """
    borrowed = session.production is not None and name in session.borrowed
    return session.production if borrowed and session.production is not None else session


class _Step(NamedTuple):
    """A column that is reached upstream, and how it got there."""

    node: str
    column: str
    unchanged: bool
    """Whether its values arrive unchanged."""
    open: bool
    """Whether no declassified or masked column lies between."""


def _limit(
    project: Project, roots: _Roots, lineage: Lineage | None, node: str, column: str
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
        new = [above for above in _above(project, lineage, step) if above not in seen]
        seen.update(new)
        waiting += new
    return limited, masks.pop() if len(masks) == 1 else None


def _is_classified(project: Project, roots: _Roots, step: _Step) -> bool:
    return (
        step.open
        and step.column not in declassified(project.source_or_asset(step.node))
        and _matches(step, roots.classified)
    )


def _is_decided(project: Project, step: _Step, mask: DeclaredMask | None) -> bool:
    """Whether no mask further upstream can be the column's."""
    return mask is not None or step.node in project.sources or not step.unchanged


def _mask_at(project: Project, roots: _Roots, step: _Step) -> DeclaredMask | None:
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


def _above(project: Project, lineage: Lineage | None, step: _Step) -> Iterator[_Step]:
    """Yield the columns whose values a column has or is computed from."""
    if lineage is None:
        return
    is_open = step.open and step.column not in declassified(project.source_or_asset(step.node))
    for node, column, transformation in lineage.above(step.node, step.column):
        if transformation not in WITHOUT_VALUES:
            unchanged = step.unchanged and transformation is Transformation.IDENTITY
            yield _Step(node, column.lower(), unchanged, is_open)
