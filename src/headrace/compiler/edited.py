"""Compilation after an edit of SQL files: only what depends on the edited assets is computed again.

A node of the former compilation is used where it can't differ: everything but some assets is equal,
the graph has the same edges, and the node isn't downstream of an edited asset. If anything else
changed, every node is computed.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from headrace.compiler.assembling import Assembler
from headrace.compiler.cache import KeptCompilation
from headrace.model import InputSpec, Problem, Project
from headrace.model.reachability import reachable
from headrace.plan import graph, schemas
from headrace.plan.compiled import Compiled, CompiledNode


class EditAssembler(Assembler):
    """An assembler that can start from the compilation of nearly the same files."""

    def compiled_after(self, former: KeptCompilation, problems: list[Problem]) -> Compiled:
        """Return the same as `compiled`, using nodes of a former compilation.

        The cached analyses must be those that the former compilation wrote.
        """
        before = former.compilation.compiled or former.compilation.partial
        # no node has a cycle among its problems, and the nodes of one have no order
        edited = (
            self._edited(before)
            if before is not None
            and all(problem.code != "cycle" for problem in former.compilation.problems)
            else None
        )
        if before is None or edited is None:
            return self.compiled(problems)
        self._read_texts(self._project.assets[name] for name in edited)
        if all(self._has_same_edges(name, before) for name in edited):
            return self._with_former(before, former.node_problems, edited, problems)
        self._kept = {**self._kept, **self.bodies}
        self._inputs, self._names = {}, graph.Names(self._project)
        return self.compiled(problems)

    def _edited(self, before: Compiled) -> list[str] | None:
        """Return the assets that differ from the former ones; None if anything else differs."""
        was, now = before.project, self._project
        if now.macros or self._code != before.code or _without_assets(was) != _without_assets(now):
            return None
        if [*was.sources] != [*now.sources] or [*was.assets] != [*now.assets]:
            return None
        return [name for name, asset in now.assets.items() if asset != was.assets[name]]

    def _has_same_edges(self, name: str, before: Compiled) -> bool:
        """Return whether an edited asset reads and waits for the same nodes as before."""
        asset, node, was = self._project.assets[name], before.nodes[name], before.project.assets
        specs, _ = self._inputs_of(asset)
        read_by_checks = graph.read_besides(asset, self._read(name).checks, self._names)
        return (
            {spec.node for spec in specs} == {spec.node for spec in node.inputs}
            and set(asset.depends) == set(node.depends)
            and read_by_checks == set(node.check_references) - {name}
            and (asset.materialize == "view") == (was[name].materialize == "view")
        )

    def _with_former(
        self,
        before: Compiled,
        node_problems: dict[str, tuple[Problem, ...]],
        edited: list[str],
        problems: list[Problem],
    ) -> Compiled:
        """Return all nodes; only the edited ones and those downstream of them are computed."""
        readers = _readers(before)
        affected = reachable(edited, lambda name: readers.get(name, ()))
        self._take_former(before, node_problems, affected, problems)
        inputs = {name: before.nodes[name].inputs for name in self._project.assets}
        inputs |= self._inputs_of_affected(affected, problems)
        self._project = schemas.following_deliveries(self._project, inputs)
        edges = {name: _upstream(before.nodes[name]) for name in affected}
        for layer in graph.layers(edges, affected):
            self._resolve(layer, inputs)
        for name in affected:
            if name in self._given:
                self._report(name, self._given[name].problems, problems)
        nodes = {
            name: self._reported_node(name, inputs, problems) if name in affected else node
            for name, node in before.nodes.items()
        }
        return Compiled(project=self._project, nodes=nodes, order=before.order, code=before.code)

    def _take_former(
        self,
        before: Compiled,
        node_problems: dict[str, tuple[Problem, ...]],
        affected: Collection[str],
        problems: list[Problem],
    ) -> None:
        """Take what is known of the nodes that aren't affected."""
        self.bodies = {**self._kept, **self.bodies}
        self.lines = {
            name: lines for name, lines in self._kept_lines.items() if name not in affected
        }
        for name, wrong in node_problems.items():
            if name not in affected:
                self._report(name, wrong, problems)
        for name in self._views:
            self._views[name] = before.nodes[name].fingerprint
        self._take_columns(
            {other for name in affected for other in _upstream(before.nodes[name])}.difference(
                affected
            )
        )

    def _take_columns(self, names: Collection[str]) -> None:
        """Take the columns of nodes that affected ones read."""
        for name in names:
            body = self.bodies.get(name)
            usable = body is not None and body.read.analysis is not None
            self._set_early(name, body.given if body is not None and usable else None)

    def _inputs_of_affected(
        self, affected: Collection[str], problems: list[Problem]
    ) -> dict[str, tuple[InputSpec, ...]]:
        results: dict[str, tuple[InputSpec, ...]] = {}
        for name in affected:
            asset = self._project.assets.get(name)
            if asset is not None:
                results[name], wrong = self._inputs_of(asset)
                self._report(name, wrong, problems)
        return results


def _without_assets(project: Project) -> Project:
    return msgspec.structs.replace(project, assets={})


def _upstream(node: CompiledNode) -> list[str]:
    """Return the nodes that a node reads or waits for."""
    return [*(spec.node for spec in node.inputs), *node.depends, *node.check_references]


def _readers(compiled: Compiled) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for name, node in compiled.nodes.items():
        for other in _upstream(node):
            readers.setdefault(other, []).append(name)
    return readers
