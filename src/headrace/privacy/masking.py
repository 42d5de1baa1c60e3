"""Columns whose values somebody may not see: classified ones, forbidden ones, and derived ones.

A column with a mask is shown masked. A column without one is left out, because a query over a
redacted value would give a wrong result silently. A column that passes on another one's values
unchanged has its mask; one that is computed from them is left out unless it has a mask of its own,
or is declassified. For asset code that Headrace can't analyse, all columns are computed from all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.access.access_events import note_clear_read
from headrace.access.permissions import decision, rules_of, unrestricted
from headrace.lake import LakeColumn
from headrace.lake.masks import ColumnMask
from headrace.model import Project, Refused
from headrace.model.access import AccessRules, Permission
from headrace.model.errors import ColumnRefused
from headrace.model.masks import DeclaredMask, column_classes
from headrace.model.partitions import command_line
from headrace.plan import Compiled
from headrace.plan.column_limits import (
    ColumnLimits,
    LimitRoots,
    all_classified,
    classified_as_in,
    limit_of,
    limits_of,
)
from headrace.plan.compiled import is_view
from headrace.plan.impact import Lineage
from headrace.privacy.earlier_code import limited_by_earlier_code, rows_from
from headrace.project.session import ProjectSession
from headrace.responses.plans import ClassifiedColumnRow
from headrace.security.access import Identity, IdentityKind, forbidden_columns
from headrace.security.keys import KeyStore
from headrace.security.masks import fit_masks


def column_limits(
    session: ProjectSession,
    node: str,
    identity: Identity | None = None,
    *,
    over_network: bool = False,
    past: bool = False,
) -> ColumnLimits:
    """Return the columns of a node that an identity (the session's) may not see in the clear.

    Without `access.yaml` that is none for local users. Over the network, nobody sees classified
    columns in the clear. With `past`, rows of older snapshots are read.
    """
    identity = identity or session.identity
    roots = _roots(session, identity, everything=over_network)
    limited = bool(roots.forbidden or roots.classified)
    if not limited and not over_network and _reveals_all(session, identity):
        return ColumnLimits()
    earlier = limited_by_earlier_code(session, node, roots, past=past)
    if not limited and not earlier:
        return ColumnLimits()
    roots = LimitRoots(roots.forbidden | earlier, roots.classified)
    compiled = session.compiled
    names = None if compiled is None else compiled.nodes[node].column_names
    return limits_of(_declared(session), roots, session.lineage, node, names)


def classified_rows(
    compiled: Compiled, lineage: Lineage, nodes: Iterable[str]
) -> dict[str, ClassifiedColumnRow]:
    """Return the classified columns of some nodes, declared and derived, by NODE.COLUMN."""
    project = compiled.project
    roots = LimitRoots(frozenset(), all_classified(project))
    rows: dict[str, ClassifiedColumnRow] = {}
    for node in nodes if roots.classified else ():
        classes = column_classes(project, node)
        for column in dict.fromkeys((*(compiled.nodes[node].column_names or ()), *classes)):
            limited, mask = limit_of(project, roots, lineage, node, column.lower())
            if limited:
                declared = classes.get(column.lower())
                rows[f"{node}.{column}".lower()] = ClassifiedColumnRow(
                    column=f"{node}.{column}",
                    classification=None if declared is None else declared.name,
                    mask=None if mask is None else mask.parameters["method"],
                )
    return rows


def reversible_mask(session: ProjectSession, node: str, column: str) -> DeclaredMask:
    """Return the mask `token` of a column, which may come from a column above it.

    Raise Refused if it has no such mask, or if a rule forbids the column.
    """
    roots = _roots(session, session.identity, everything=True)
    _, mask = limit_of(_declared(session), roots, session.lineage, node, column.lower())
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
    return fit_masks(limits, columns, key_store(session).data_key)


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


def refuse_inputs(session: ProjectSession, compiled: Compiled, name: str, command: str) -> None:
    """Raise Refused if code that the caller may have written would read what they may not.

    It can show each column of its inputs under another name. They need a role that reads them, and
    no column of them may be hidden or masked. A view that isn't applied is the caller's code, too.
    """
    waiting, seen = [name], set[str]()
    while waiting:
        for node in {spec.node for spec in compiled.nodes[waiting.pop()].inputs} - seen:
            seen.add(node)
            _require_read(session, compiled, name, node, command)
            if session.compiled is not None and node in session.compiled.nodes:
                refuse_hidden(session, node, command)
            if is_view(compiled.project, node) and not _is_applied(session, compiled, node):
                waiting.append(node)


def _is_applied(session: ProjectSession, compiled: Compiled, node: str) -> bool:
    applied = None if session.compiled is None else session.compiled.nodes.get(node)
    return applied is not None and applied.fingerprint == compiled.nodes[node].fingerprint


def _require_read(
    session: ProjectSession, compiled: Compiled, name: str, node: str, command: str
) -> None:
    declared = session.project().node(node) or compiled.project.node(node)
    if unrestricted(session) or declared is None:
        return
    visible, rules = session.shows(node), rules_of(session)
    if visible and any(
        decision(session, rules, Permission.READ, at).allowed for at in (None, declared)
    ):
        return
    which = node if visible else "a node"
    raise Refused(
        f"{command} would read {which} that you may not read: {name} has it as an input",
        hint=f"headrace read {name}",
    )


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


def column_refused(nodes: Sequence[str], column: str) -> ColumnRefused:
    """Return the error for a column that isn't shown, of the only node or of one of several."""
    return ColumnRefused(
        f"the column {column[:60]} of {' or '.join(nodes)} isn't shown here: it is classified or"
        " forbidden, or computed from such columns",
        hint=f"{command_line('lineage', nodes[0])} shows from which columns",
    )


def all_left_out(name: str) -> ColumnRefused:
    """Return the error for a table of which no column may be read."""
    return ColumnRefused(
        f"you may not read any column of {name}: all of them are classified or forbidden, or"
        " computed from such columns",
        hint=f"headrace lineage {name} shows from which columns",
    )


def _roots(session: ProjectSession, identity: Identity, *, everything: bool) -> LimitRoots:
    """Return the columns that rules or classifications hide from an identity.

    With `everything`, all classified columns are among them.
    """
    rules, project = rules_of(session), _declared(session)
    unlimited = rules is None and identity.kind is IdentityKind.LOCAL
    if unlimited and not everything:
        return LimitRoots(frozenset(), {})
    names = [*project.sources, *project.assets]
    forbidden = {
        (name, column)
        for name in names
        for env in {session.env, rows_from(session, name).env}
        for column in forbidden_columns(rules, identity, name, env=env)
    }
    here = session.project()
    classes = {name: column_classes(here, name) | column_classes(project, name) for name in names}
    classified = {
        (name, column): value
        for name, columns in classes.items()
        if columns and (everything or not _may_reveal(session, rules, identity, name))
        for column, value in columns.items()
    }
    return LimitRoots(frozenset(forbidden), classified)


def _declared(session: ProjectSession) -> Project:
    """Return the project; in an environment, with production's classifications."""
    project, production = session.project(), session.production
    if production is None or production.compiled is None:
        return project
    return classified_as_in(production.compiled.project, project, session.borrowed)


def _reveals_all(session: ProjectSession, identity: Identity) -> bool:
    """Whether an identity may see all values of the project, also those of nodes that are gone."""
    rules = rules_of(session)
    if rules is None and identity.kind is IdentityKind.LOCAL:
        return True
    return decision(session, rules, Permission.REVEAL, None, identity).allowed


def _may_reveal(
    session: ProjectSession, rules: AccessRules | None, identity: Identity, name: str
) -> bool:
    node, origin = session.project().source_or_asset(name), rows_from(session, name)
    return any(
        decision(origin, rules, Permission.REVEAL, about, identity).allowed
        for about in (None, node)
    )
