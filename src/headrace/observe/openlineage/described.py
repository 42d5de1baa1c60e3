"""What events say of nodes, whatever is attempted at them: encoded once per applied version."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from headrace.model import SqlBody
from headrace.observe.openlineage.naming import facet, namespace_of
from headrace.plan import Compiled
from headrace.plan.bodies import ColumnLineage
from headrace.sql.values import Edge, Transformation

_DIRECT = {
    Transformation.IDENTITY: "IDENTITY",
    Transformation.CAST: "TRANSFORMATION",
    Transformation.EXPRESSION: "TRANSFORMATION",
    Transformation.AGGREGATE: "AGGREGATION",
    Transformation.OPAQUE: "TRANSFORMATION",
}
_INDIRECT = {Transformation.WINDOW: "WINDOW", Transformation.JOIN_KEY: "JOIN", Transformation.FILTER: "FILTER"}
ALL = "*"


class OpenLineageNodes:
    """The nodes of an applied version. `lines` says what a node's columns come from."""

    def __init__(self, version: int, compiled: Compiled, lines: Callable[[str], ColumnLineage]) -> None:
        self.version, self.compiled, self.namespace = version, compiled, namespace_of(compiled.project.settings)
        self._lines = lines
        self._names = {name.lower(): name for name in compiled.nodes}
        self._outputs: dict[str, dict[str, msgspec.Raw]] = {}
        self._jobs: dict[tuple[str, str], dict[str, msgspec.Raw]] = {}

    def owner(self, name: str) -> str | None:
        """Whose a node or a consumer is; None for one that isn't there any more."""
        project = self.compiled.project
        node = project.node(name)
        return node.owner if node is not None else None

    def inputs(self, name: str, kind: str) -> list[str]:
        """The data sets that an attempt of a kind reads."""
        if kind == "take_in":
            return [f"delivery/{name}"]
        if (consumer := self.compiled.project.consumers.get(name)) is not None:
            return list(consumer.reads)
        node = self.compiled.nodes.get(name)
        return list(dict.fromkeys(spec.node for spec in node.inputs)) if node is not None else []

    def job(self, name: str, kind: str) -> dict[str, msgspec.Raw]:
        """Facets of the job."""
        if (name, kind) not in self._jobs:
            self._jobs[name, kind] = _encoded(self._job(name, kind))
        return self._jobs[name, kind]

    def _job(self, name: str, kind: str) -> dict[str, Any]:
        results = {"jobType": facet("JobTypeJobFacet", "2-0-4", processingType="BATCH", integration="HEADRACE", jobType=kind.upper())}
        asset = self.compiled.project.assets.get(name)
        if kind == "produce" and asset is not None and isinstance(asset.body, SqlBody):
            sql = self.compiled.nodes[name].sql
            if sql is not None:
                results["sql"] = facet("SQLJobFacet", "1-1-0", query=sql, dialect="duckdb")
        if (owner := self.owner(name)) is not None:
            results["ownership"] = facet("OwnershipJobFacet", "1-0-1", owners=[{"name": owner, "type": "OWNER"}])
        description = _description(self.compiled, name)
        if description:
            results["documentation"] = facet("DocumentationJobFacet", "1-1-0", description=description)
        return results

    def output(self, name: str) -> dict[str, msgspec.Raw]:
        """Facets of what a node makes: its columns and where they come from."""
        if name not in self._outputs:
            results = {key: value for key, value in (("schema", self._schema(name)), ("columnLineage", self._lineage(name))) if value}
            self._outputs[name] = _encoded(results)
        return self._outputs[name]

    def _schema(self, name: str) -> dict[str, Any] | None:
        node = self.compiled.nodes.get(name)
        if node is None or not (node.columns or node.column_names):
            return None
        columns: Iterable[tuple[str, str | None]] = node.columns or [(column, None) for column in node.column_names or ()]
        fields = [{"name": column, "ordinal_position": n} | ({"type": kind} if kind else {}) for n, (column, kind) in enumerate(columns, 1)]
        return facet("SchemaDatasetFacet", "1-2-0", fields=fields)

    def _lineage(self, name: str) -> dict[str, Any] | None:
        if name not in self.compiled.project.assets:
            return None
        lines = self._lines(name)
        fields = {column: {"inputFields": self._edges(edges)} for column, edges in lines.columns.items() if column != ALL and edges}
        whole = self._edges(lines.filters)
        return facet("ColumnLineageDatasetFacet", "1-2-0", fields=fields, dataset=whole) if fields or whole else None

    def _edges(self, edges: Iterable[Edge]) -> list[dict[str, Any]]:
        return [self._edge(edge) for edge in dict.fromkeys(edges) if edge.input in self._names]

    def _edge(self, edge: Edge) -> dict[str, Any]:
        how = edge.transformation
        said = {"type": "DIRECT", "subtype": _DIRECT[how]} if how in _DIRECT else {"type": "INDIRECT", "subtype": _INDIRECT[how]}
        return {"namespace": self.namespace, "name": self._names[edge.input], "field": edge.column, "transformations": [said]}


def _encoded(facets: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in facets.items()}


def _description(compiled: Compiled, name: str) -> str | None:
    node = compiled.project.node(name)
    return node.description if node is not None else None
