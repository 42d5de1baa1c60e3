"""A linked project → compiled nodes: inputs, columns, types, fingerprints, and problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from headrace.compiler.cache import KeptAnalyses, KeptBody
from headrace.compiler.speculation import Speculation
from headrace.compiler.worker import OutputSchemaRequests, OutputSchemas
from headrace.compiler.workers import CHUNK, AnalysisPool
from headrace.model import (
    Asset,
    Contract,
    Grain,
    InputMode,
    InputSpec,
    Place,
    Problem,
    Project,
    Source,
)
from headrace.model.declassification import thresholds
from headrace.model.export_problems import unknown_clear_columns
from headrace.plan import compiled as plan_compiled
from headrace.plan import graph, schemas
from headrace.plan.compiled import Code, Columns, Compiled, CompiledNode, NodeKind, Use, macro_file
from headrace.plan.contracts import not_as_promised
from headrace.plan.schemas import (
    AssetText,
    AssetTextAnalysis,
    InputSchema,
    KeptLines,
    OutputSchema,
    OutputSchemaRequest,
    asset_text,
    digest,
    lines_key,
)
from headrace.sql.values import UNKNOWN, Analysis, canonical_type

Step = Callable[..., None]

_NOTHING = AssetTextAnalysis(None)


def _naming(name: str, problem: Problem) -> Problem:
    """Return a problem whose message names the node."""
    if f"`{name}`" in problem.message:
        return problem
    return msgspec.structs.replace(problem, message=f"{problem.message}, in `{name}`")


class Assembler:
    """One compilation of a linked project; `bodies` and `lines` are for the cache."""

    def __init__(
        self,
        project: Project,
        learnt: dict[str, Columns],
        cached: KeptAnalyses | None,
        workers: AnalysisPool,
        step: Step,
        code: Code,
        changed: Callable[[int], None] | None,
    ) -> None:
        self._project, self._learnt, self._workers, self._step = project, learnt, workers, step
        self._kept = cached.bodies.bodies if cached is not None else {}
        self._kept_lines = cached.lines.lines if cached is not None else {}
        self._code, self._changed = code, changed
        self._names = graph.Names(project)
        self._macros = _Macros(project.macros)
        self._columns: dict[str, Columns | None] = {}
        self._views: dict[str, str] = dict.fromkeys(
            (name for name, asset in project.assets.items() if asset.materialize == "view"), ""
        )
        """Views with their fingerprints, on which the readers of a view depend."""
        places = Counter(node.place for node in project.nodes())
        self._of_for_each = {node.name for node in project.nodes() if places[node.place] > 1}
        """Nodes that one declaration declares at once."""
        self._given: dict[str, OutputSchema] = {}
        self._inputs: dict[str, tuple[tuple[InputSpec, ...], list[Problem]]] = {}
        """Inputs of each asset that was looked at, with the problems in naming them."""
        self._early: dict[str, tuple[OutputSchemaRequest, bytes, OutputSchema, KeptLines]] = {}
        """Outputs that were determined before the order was known, with the request for each and
        its digest."""
        self._input_schemas: dict[tuple[str, bool], InputSchema] = {}
        self._keys: dict[str, bytes] = {}
        """Digests of the texts that aren't cached."""
        self.bodies: dict[str, KeptBody] = {}
        self.lines: dict[str, KeptLines] = {}
        self.node_problems: dict[str, tuple[Problem, ...]] = {}
        """The problems of each node that has some, without cycles."""

    def compiled(self, problems: list[Problem]) -> Compiled:
        """Return all nodes; adds to `problems`, and errors there make the result unusable."""
        nodes: list[Source | Asset] = [
            *self._project.sources.values(),
            *self._project.assets.values(),
        ]
        self._read_texts(nodes)
        inputs: dict[str, tuple[InputSpec, ...]] = {}
        for name, asset in self._project.assets.items():
            inputs[name], wrong = self._inputs_of(asset)
            self._report(name, wrong, problems)
        self._project = schemas.following_deliveries(self._project, inputs)
        edges = self._edges(inputs)
        checked = self._checked(inputs)
        data = {name: edges[name] for name in self._project.assets}
        problems.extend(graph.cycles(data, self._project, problems))
        problems.extend(graph.check_cycles(edges, checked, self._project))
        ordered = {
            name: [*before, *sorted(checked[name])] if name in checked else before
            for name, before in edges.items()
        }
        layers = graph.layers(ordered, (*self._project.sources, *self._project.assets))
        for layer in layers:
            self._resolve(layer, inputs)
        for name, schema in self._given.items():
            self._report(name, schema.problems, problems)
        order = tuple(name for layer in layers for name in sorted(layer))
        order = tuple(sorted(order, key=lambda name: name not in self._project.sources))
        compiled_nodes = {name: self._reported_node(name, inputs, problems) for name in order}
        names = {name: node.column_names for name, node in compiled_nodes.items()}
        for consumer in self._project.consumers.values():
            self._report(
                consumer.name,
                list(unknown_clear_columns(self._project, consumer, names)),
                problems,
            )
        return Compiled(
            project=self._project,
            nodes=compiled_nodes,
            order=order,
            code=self._code_with_macros(),
        )

    def _report(self, name: str, wrong: Sequence[Problem], problems: list[Problem]) -> None:
        """Add problems of a node, with its name where its place is that of other nodes, too."""
        if wrong and name in self._of_for_each:
            wrong = [_naming(name, problem) for problem in wrong]
        if wrong:
            problems.extend(wrong)
            self.node_problems[name] = (*self.node_problems.get(name, ()), *wrong)

    def _code_with_macros(self) -> Code:
        """The files of code, with those of macros under the assets that call one."""
        macros = self._project.macros
        uses = tuple(Use(path=path, text="macro", line=1) for path in sorted(macros))
        callers = [
            name
            for name in self._project.assets
            if macros and self._macros.used_by(self._read(name).analysis)
        ]
        starts = {name: (*self._code.starts.get(name, ()), *uses) for name in callers}
        files = {path: macro_file(text) for path, text in macros.items()} if callers else {}
        return msgspec.structs.replace(
            self._code, files={**self._code.files, **files}, starts={**self._code.starts, **starts}
        )

    @property
    def project(self) -> Project:
        """The project as it is cut, once its inputs are known."""
        return self._project

    # -- what texts say

    def _read_texts(self, nodes: Iterable[Source | Asset]) -> None:
        """Analyse the SQL of the nodes, where the analysis isn't cached."""
        missing: list[tuple[bytes, AssetText]] = []
        for node in nodes:
            text = asset_text(node)
            if text is None:
                continue
            key = digest(text)
            kept_body = self._kept.get(node.name)
            if kept_body is not None and kept_body.text == key:
                self.bodies[node.name] = kept_body
            else:
                missing.append((key, text))
        if missing:
            self._read_missing(missing)

    def _read_missing(self, missing: list[tuple[bytes, AssetText]]) -> None:
        """Analyse the texts whose analysis isn't cached, and determine outputs where possible."""
        self._step(0, len(missing))
        self._keys = {text.name: key for key, text in missing}
        for name in (*self._project.sources, *self._project.assets):
            if name not in self._keys:
                kept_body = self._kept.get(name)
                self._set_early(name, kept_body.given if kept_body is not None else None)
        work = Speculation([text for _, text in missing], self, self._step)
        self._workers.do(work, len(missing))
        self._columns, self._given, self._input_schemas = {}, {}, {}

    def take_analysis(self, text: AssetText, read: AssetTextAnalysis) -> bool:
        """Store the analysis of a text; return whether its output can be requested."""
        self.bodies[text.name] = KeptBody(self._keys[text.name], read)
        if read.analysis is not None and read.analysis.usable:
            self._say_changed(text.name, read.analysis)
            return True
        self._set_early(text.name, None)
        return False

    def _say_changed(self, name: str, analysis: Analysis) -> None:
        """Call `changed`, once, if the statement itself is new and not only its place."""
        kept_body = self._kept.get(name)
        former = kept_body.read.analysis if kept_body is not None else None
        if self._changed is not None and (former is None or former.sql != analysis.sql):
            self._changed(len(self._keys))
            self._changed = None

    def early_request(self, name: str) -> OutputSchemaRequest | None:
        """Return the request for an output; None while the columns of an input aren't known."""
        asset, analysis = self._project.assets[name], self._read(name).analysis
        specs, _ = self._inputs_of(asset)
        if analysis is None or any(spec.node not in self._columns for spec in specs):
            return None
        return self._schema_request(asset, analysis, specs)

    def take_early(
        self, name: str, request: OutputSchemaRequest, schema: OutputSchema, lines: msgspec.Raw
    ) -> None:
        """Store an output, which counts if the final request is the same."""
        kept_lines = KeptLines(_lineage_key(request), lines)
        self._early[name] = (request, digest(request), schema, kept_lines)
        self._set_early(name, schema)

    def _set_early(self, name: str, schema: OutputSchema | None) -> None:
        """Let readers of a node assume these columns until its final ones are known."""
        if schema is None:
            self._columns[name] = self._declared_columns(name)
        else:
            self._given[name] = schema
            self._columns[name] = schemas.table_columns(self._project.assets[name], schema.columns)

    def _read(self, name: str) -> AssetTextAnalysis:
        body = self.bodies.get(name)
        return body.read if body is not None else _NOTHING

    def _inputs_of(self, asset: Asset) -> tuple[tuple[InputSpec, ...], list[Problem]]:
        """Return an asset's inputs and the problems in naming them."""
        known = self._inputs.get(asset.name)
        if known is not None:
            return known
        problems: list[Problem] = []
        analysis = self._read(asset.name).analysis
        if analysis is None:
            specs = asset.inputs
        else:
            problems.extend(analysis.problems)
            specs = graph.inputs_of(asset, analysis, self._names, problems)
            if analysis.placeholders:
                parameters = {**self._project.settings.parameters, **asset.parameters}
                problems.extend(graph.placeholder_problems(asset, analysis, parameters))
            if analysis.table_functions:
                problems.extend(self._macros.unknown(analysis))
        problems.extend(graph.unreadable(specs, self._project))
        self._inputs[asset.name] = (specs, problems)
        return specs, problems

    def _edges(self, inputs: dict[str, tuple[InputSpec, ...]]) -> dict[str, list[str]]:
        edges: dict[str, list[str]] = {name: [] for name in self._project.sources}
        for name, asset in self._project.assets.items():
            edges[name] = list(
                dict.fromkeys([*(spec.node for spec in inputs[name]), *asset.depends])
            )
        return edges

    def _checked(self, inputs: dict[str, tuple[InputSpec, ...]]) -> dict[str, set[str]]:
        """Return node → the nodes that must be published before its checks can be evaluated.

        These are the nodes that its checks read, and those read by checks of views computed from
        it.
        """
        nodes: list[Source | Asset] = [
            *self._project.sources.values(),
            *self._project.assets.values(),
        ]
        results = {
            node.name: read
            for node in nodes
            if (read := graph.read_besides(node, self._read(node.name).checks, self._names))
        }
        for view in [name for name in results if name in self._views]:
            for node in self._below_views(view, inputs):
                results.setdefault(node, set()).update(results[view] - {node})
        return results

    def _below_views(self, view: str, inputs: dict[str, tuple[InputSpec, ...]]) -> Iterator[str]:
        """Yield the nodes that a view reads, directly or through other views."""
        pending, seen = [view], {view}
        while pending:
            for spec in inputs[pending.pop()]:
                if spec.node in seen:
                    continue
                seen.add(spec.node)
                if spec.node in self._views:
                    pending.append(spec.node)
                else:
                    yield spec.node

    # -- columns along the graph

    def _resolve(self, layer: list[str], inputs: dict[str, tuple[InputSpec, ...]]) -> None:
        """Determine the columns of the nodes of one layer, which don't depend on each other."""
        waiting: list[tuple[str, bytes, OutputSchemaRequest]] = []
        for name in layer:
            analysis = self._read(name).analysis
            if analysis is None or not analysis.usable:
                self._columns[name] = self._declared_columns(name)
                continue
            request = self._schema_request(self._project.assets[name], analysis, inputs[name])
            early = self._early.get(name)
            if early is not None and early[0] == request:
                self._take(name, *early[1:])
                continue
            key = digest(request)
            kept_body = self._kept.get(name)
            if (
                kept_body is not None
                and kept_body.wanted == key
                and kept_body.given is not None
                and name in self._kept_lines
            ):
                self._take(name, key, kept_body.given, self._kept_lines[name])
            else:
                waiting.append((name, key, request))
        self._step(0, len(waiting))
        self._ask(waiting)

    def _ask(self, waiting: list[tuple[str, bytes, OutputSchemaRequest]]) -> None:
        chunks = [waiting[at : at + CHUNK] for at in range(0, len(waiting), CHUNK)]
        messages = [
            OutputSchemaRequests(tuple(request for _, _, request in chunk)) for chunk in chunks
        ]
        of_message = {id(message): chunk for message, chunk in zip(messages, chunks, strict=True)}

        def take(message: OutputSchemaRequests, answer: OutputSchemas) -> None:
            for (name, key, request), (schema, lines) in zip(
                of_message[id(message)], answer.given, strict=True
            ):
                self._take(name, key, schema, KeptLines(_lineage_key(request), lines))
            self._step(len(answer.given))

        self._workers.give(messages, take)

    def _take(self, name: str, key: bytes, schema: OutputSchema, lines: KeptLines) -> None:
        body = self.bodies[name]
        if body.given is not schema:
            self.bodies[name] = KeptBody(body.text, body.read, key, schema)
        self.lines[name] = lines
        self._given[name] = schema
        self._columns[name] = schemas.table_columns(self._project.assets[name], schema.columns)

    def _schema_request(
        self, asset: Asset, analysis: Analysis, specs: tuple[InputSpec, ...]
    ) -> OutputSchemaRequest:
        return OutputSchemaRequest(
            analysis=analysis,
            inputs=tuple(self._input(asset, spec) for spec in specs),
            parameters=self._parameter_types(asset, analysis),
            cut_by_time=asset.partition.grain is not None and not asset.accumulates,
            column=asset.partition.column,
            place=asset.place,
            mixing=_mixing(asset, specs, self._views),
            checks=self._read(asset.name).checks,
            added=schemas.table_columns(asset, ()) or (),
            thresholds=tuple(
                (column, threshold.people) for column, threshold in thresholds(asset).items()
            ),
        )

    def _input(self, asset: Asset, spec: InputSpec) -> InputSchema:
        """Return a resolved input; its readers share the value, so that requests compare fast."""
        cut = graph.is_read_by_partition(asset, spec, self._project)
        schema = self._input_schemas.get((spec.node, cut))
        if schema is None:
            schema = InputSchema(
                spec.node.lower(), self._columns.get(spec.node), self._routing(spec.node), cut
            )
            if spec.node in self._columns:
                self._input_schemas[spec.node, cut] = schema
        return schema

    def _routing(self, name: str) -> str | None:
        schema = self._given.get(name)
        if schema is not None:
            return schema.partition_column
        node = self._project.source_or_asset(name)
        return node.partition.column if node is not None else None

    def _parameter_types(self, asset: Asset, analysis: Analysis) -> tuple[tuple[str, str], ...]:
        if not analysis.placeholders:
            return ()
        every = {
            name.lower(): value
            for name, value in {**self._project.settings.parameters, **asset.parameters}.items()
        }
        bound = "TIMESTAMP WITH TIME ZONE" if asset.partition.grain is Grain.HOUR else "DATE"
        types = {name: _type_of(value) for name, value in every.items()} | {
            "partition_start": bound,
            "partition_end": bound,
            "partition_key": "VARCHAR",
        }
        return tuple(
            (reference.name, types.get(reference.name, UNKNOWN))
            for reference in analysis.placeholders
        )

    def _declared_columns(self, name: str) -> Columns | None:
        """Return the columns of a node that isn't SQL.

        Of its contract, its declaration, or the store.
        """
        learnt = self._learnt.get(name)
        source = self._project.sources.get(name)
        if source is not None:
            return (
                _of_contract(self._project.contracts.get(source.contract or ""), learnt) or learnt
            )
        declared = (self._project.assets[name].columns or {}).get("writes")
        if isinstance(declared, dict) and declared:
            written = tuple(
                (column, canonical_type(type_) if isinstance(type_, str) else UNKNOWN)
                for column, type_ in declared.items()
            )
            return schemas.table_columns(self._project.assets[name], written)
        return learnt

    # -- nodes

    def _reported_node(
        self, name: str, inputs: dict[str, tuple[InputSpec, ...]], problems: list[Problem]
    ) -> CompiledNode:
        wrong: list[Problem] = []
        node = self._node(name, inputs, wrong)
        self._report(name, wrong, problems)
        return node

    def _node(
        self, name: str, inputs: dict[str, tuple[InputSpec, ...]], problems: list[Problem]
    ) -> CompiledNode:
        columns = self._columns.get(name)
        names = tuple(column for column, _ in columns) if columns is not None else None
        complete = (
            columns
            if columns is not None and all(type_ != UNKNOWN for _, type_ in columns)
            else None
        )
        node: Source | Asset = self._project.sources.get(name) or self._project.assets[name]
        reads = self._read(name)
        problems.extend(graph.unknown_columns(node, names))
        known = graph.check_references(node, reads.checks, self._names, self._columns, problems)
        if isinstance(node, Source):
            problems.extend(graph.conversion_problems(node, self._project))
            return CompiledNode(
                name=name,
                kind=NodeKind.SOURCE,
                columns=complete,
                column_names=names,
                partition_column=node.partition.column,
                fingerprint=plan_compiled.source_fingerprint(node, self._project),
                not_separable_because="its rows belong to the interval of their file",
                check_references=known,
            )
        problems.extend(self._not_materialised(node, inputs[name], reads.analysis))
        problems.extend(not_as_promised(node, columns, names, self._project))
        problems.extend(graph.partition_key_problems(node, inputs[name], self._project))
        problems.extend(graph.type_problems(node))
        return self._asset(node, inputs[name], complete, names, known, reads.analysis)

    def _not_materialised(
        self, asset: Asset, inputs: tuple[InputSpec, ...], analysis: Analysis | None
    ) -> Iterable[Problem]:
        schema = self._given.get(asset.name)
        body = schema.columns if schema is not None else None
        return schemas.materialization_problems(asset, inputs, body, self._project, analysis)

    def _asset(
        self,
        asset: Asset,
        inputs: tuple[InputSpec, ...],
        columns: Columns | None,
        names: tuple[str, ...] | None,
        references: tuple[str, ...],
        analysis: Analysis | None,
    ) -> CompiledNode:
        schema = self._given.get(asset.name)
        read = [self._views[spec.node] for spec in inputs if spec.node in self._views]
        fingerprint = plan_compiled.asset_fingerprint(
            asset, analysis, inputs, self._project, self._macros.used_by(analysis), read, self._code
        )
        if asset.name in self._views:
            self._views[asset.name] = fingerprint
        mixes = schema.mixes if schema is not None else "its body isn't SQL"
        if not asset.batched:
            mixes = "`batch: off`"
        return CompiledNode(
            name=asset.name,
            kind=NodeKind.ASSET,
            inputs=inputs,
            depends=asset.depends,
            columns=columns,
            column_names=names,
            partition_column=(
                schema.partition_column if schema is not None else asset.partition.column
            ),
            sql=analysis.sql if analysis is not None else None,
            placeholders=(
                tuple(reference.name for reference in analysis.placeholders)
                if analysis is not None
                else ()
            ),
            uses_self=analysis is not None and analysis.uses_self,
            fingerprint=fingerprint,
            separable=not mixes,
            not_separable_because=mixes,
            check_references=references,
        )


class _Macros:
    """The project's `CREATE MACRO`s by name: a query that calls one depends on all macro files."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts
        self._lowered = "\n".join(texts.values()).lower()

    def unknown(self, analysis: Analysis) -> Iterable[Problem]:
        for reference in analysis.table_functions:
            if reference.name not in self._lowered:
                yield Problem(
                    code="unknown_function",
                    message=(
                        f"`{reference.name}(…)` in FROM is neither a table function that bodies may"
                        " use nor a macro of the project"
                    ),
                    hint="define it in macros/, or declare what it reads as a source",
                    place=Place(file=analysis.file, line=reference.line),
                )

    def used_by(self, analysis: Analysis | None) -> dict[str, str]:
        """Return the macro files that a query may call: all of them if it calls any macro."""
        if analysis is None or not self._texts:
            return {}
        called = [*analysis.functions, *(reference.name for reference in analysis.table_functions)]
        return self._texts if any(name in self._lowered for name in called) else {}


def _lineage_key(request: OutputSchemaRequest) -> bytes:
    inputs = tuple(
        (
            input_.name,
            tuple(name for name, _ in input_.columns) if input_.columns is not None else None,
        )
        for input_ in request.inputs
    )
    return lines_key(request.analysis.sql, inputs)


def _mixing(asset: Asset, specs: Iterable[InputSpec], views: Collection[str]) -> str:
    if asset.partition.key is not None:
        return f"it is partitioned by `{asset.partition.key}` as well"
    for spec in specs:
        if spec.node in views:
            return f"it reads the view `{spec.node}`"
        if spec.lookback is not None:
            return f"it looks back {spec.lookback} in `{spec.node}`"
        if spec.mode in (InputMode.PREVIOUS, InputMode.WITHIN):
            return f"it reads `{spec.node}` as `{spec.mode}`"
    return ""


def _of_contract(contract: Contract | None, learnt: Columns | None) -> Columns | None:
    if contract is None or not contract.columns:
        return None
    known = {name.lower(): type_ for name, type_ in learnt or ()}
    return tuple(
        (
            column.name,
            canonical_type(column.type) if column.type else known.get(column.name.lower(), UNKNOWN),
        )
        for column in contract.columns
    )


def _type_of(value: Any) -> str:
    """Return the type that DuckDB gives a bound parameter."""
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return next(
            (
                name
                for name, bits in (("INTEGER", 32), ("BIGINT", 64))
                if -(1 << (bits - 1)) <= value < 1 << (bits - 1)
            ),
            UNKNOWN,
        )
    return {float: "DOUBLE", str: "VARCHAR"}.get(type(value), UNKNOWN)
