"""Columns whose values somebody may not see: classified ones, forbidden ones, and derived ones.

A hidden column is left out. Columns derived from it by lineage are hidden as well. For asset code
that Headrace can't analyse, only the declared columns are known.
"""

from __future__ import annotations

from collections.abc import Collection

from headrace.compiler.lineage import compile_lineage
from headrace.model import Asset, Project, Refused, Source
from headrace.model.access import AccessRules, Permission
from headrace.security.access import Identity, IdentityKind, forbidden_columns
from headrace.services.permissions import decision, rules_of
from headrace.services.session import ProjectSession
from headrace.sql.values import Transformation

HARMLESS = frozenset({Transformation.FILTER, Transformation.JOIN_KEY})
"""Transformations that pass on no values. (Aggregates may: the greatest name is a name.)"""


def hidden_columns(
    session: ProjectSession, node: str, identity: Identity | None = None
) -> list[str]:
    """Return the columns of a node, in lower case, that an identity (the session's) may not see.

    Without `access.yaml` that is none for local users.
    """
    return _with_derived(session, node, _hidden(session, identity or session.identity))


def masked_columns(session: ProjectSession, node: str) -> list[str]:
    """Return the columns of a node, in lower case, that nobody sees over the network.

    These are the classified columns, and those that the session's identity may not see.
    """
    project = session.project()
    classified = {
        f"{name.lower()}.{column}"
        for name in _names(project)
        for column in classified_columns(project, name)
    }
    return _with_derived(session, node, classified | _hidden(session, session.identity))


def refuse_hidden(session: ProjectSession, node: str, command: str) -> None:
    """Raise Refused if a command would show rows with columns that are hidden."""
    hidden = hidden_columns(session, node)
    if hidden:
        raise Refused(
            f"{command} would show columns of {node} that you may not read:"
            f" {', '.join(hidden[:8])}",
            hint=f"headrace read {node} leaves them out",
        )


def classified_columns(project: Project, name: str) -> set[str]:
    """Return the columns that a node's contract classifies, in lower case."""
    node = project.node(name)
    contract = (
        project.contracts.get(node.contract or name) if isinstance(node, Source | Asset) else None
    )
    return (
        {column.name.lower() for column in contract.columns if column.classification}
        if contract is not None
        else set()
    )


def _hidden(session: ProjectSession, identity: Identity) -> set[str]:
    """Return NODE.COLUMN of all columns that rules or classifications hide from an identity."""
    rules = rules_of(session)
    if rules is None and identity.kind is IdentityKind.LOCAL:
        return set()
    project = session.project()
    hidden: set[str] = set()
    for name in _names(project):
        columns = forbidden_columns(rules, identity, name, env=session.env)
        classified = classified_columns(project, name)
        if classified and not _may_reveal(session, rules, identity, name):
            columns |= classified
        hidden.update(f"{name.lower()}.{column}" for column in columns)
    return hidden


def _may_reveal(
    session: ProjectSession, rules: AccessRules | None, identity: Identity, name: str
) -> bool:
    node = session.project().source_or_asset(name)
    return any(
        decision(session, rules, Permission.REVEAL, about, identity).allowed
        for about in (None, node)
    )


def _with_derived(session: ProjectSession, node: str, hidden: Collection[str]) -> list[str]:
    """Return the hidden columns of a node, and its columns that are derived from hidden ones."""
    if not hidden:
        return []
    own_columns = {
        column.partition(".")[2] for column in hidden if column.partition(".")[0] == node.lower()
    }
    compiled = session.compiled
    if compiled is None:
        return sorted(own_columns)
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    derived_columns = {
        column.lower()
        for column in compiled.nodes[node].column_names or ()
        if any(
            step.column.lower() in hidden and step.transformation not in HARMLESS
            for step in lineage.upstream(node, column)
        )
    }
    return sorted(own_columns | derived_columns)


def _names(project: Project) -> list[str]:
    return [*project.sources, *project.assets]
