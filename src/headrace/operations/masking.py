"""Which columns of a node aren't shown to who reads over the network: those that a contract classifies, and what is made of them.

Of a body that Headrace can't look into only what it declares to write is known.
"""

from __future__ import annotations

from headrace.model import Asset, Project, Source
from headrace.operations.session import ProjectSession
from headrace.plan import compile_lineage
from headrace.sql.values import Transformation

HARMLESS = frozenset({Transformation.FILTER, Transformation.JOIN_KEY})
"""What carries no values on. (An aggregate may: the greatest name is a name.)"""


def masked(session: ProjectSession, node: str) -> list[str]:
    """Names of a node's columns that are kept back, in lower case."""
    compiled = session.compiled
    if compiled is None:
        return sorted(_classified(session.project(), node))
    project = compiled.project
    classified = {f"{name}.{column}" for name in (*project.sources, *project.assets) for column in _classified(project, name)}
    own = _classified(project, node)
    if not classified:
        return []
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    made = {
        column.lower()
        for column in compiled.nodes[node].column_names or ()
        if any(step.column.lower() in classified and step.transformation not in HARMLESS for step in lineage.upstream(node, column))
    }
    return sorted(own | made)


def _classified(project: Project, name: str) -> set[str]:
    node = project.node(name)
    contract = project.contracts.get(node.contract or name) if isinstance(node, Source | Asset) else None
    return {column.name.lower() for column in contract.columns if column.classification} if contract is not None else set()
