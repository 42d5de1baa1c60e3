"""A compiled project as a value: nodes, views, code files, fingerprints, installed packages.

These values are cached and sent between processes; reading an applied project needs only this
module.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from headrace.model import (
    Asset,
    CommandBody,
    InputFormat,
    InputMode,
    InputSpec,
    Problem,
    Project,
    PythonBody,
    Source,
    Value,
)
from headrace.model.times import Duration
from headrace.sql.values import Analysis

# The code files that assets use: the imports that lead to each file, and the part that the asset's
# fingerprint covers.


class Use(Value):
    """One reason why a file is used: `text` in line `line` of the previous file or declaration."""

    path: str
    text: str
    line: int


class CodeFile(Value, omit_defaults=True):
    """A code file.

    `sha256` covers its bytes, `digest` only what counts: for Python its syntax tree.
    """

    sha256: str
    digest: str
    uses: tuple[Use, ...] = ()
    packages: tuple[str, ...] = ()
    """Top-level names that it imports from outside the project and the standard library."""


class Code(Value, omit_defaults=True):
    """All code files that assets use.

    `starts` maps an asset to its own file, if it is Python, or to the files that its command names.
    """

    files: dict[str, CodeFile] = msgspec.field(default_factory=dict)
    starts: dict[str, tuple[Use, ...]] = msgspec.field(default_factory=dict)
    installed: dict[str, str | None] = msgspec.field(default_factory=dict)
    """Versions of the distributions in `code_packages`; None for one that isn't installed."""
    locked: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """Locks of `requirements` → the versions of their packages."""
    modules: dict[str, bool] = msgspec.field(default_factory=dict)
    """Top-level modules that Python assets import from outside the project → whether they can be
    found where this was compiled."""

    def renamed(self, former: str, name: str) -> Code:
        """Return the same code with an asset under its new name."""
        return msgspec.structs.replace(
            self, starts={**self.starts, name: self.starts.get(former, ())}
        )


def macro_file(text: str) -> CodeFile:
    """Return a file of macros, whose fingerprint covers its text."""
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return CodeFile(sha256=sha256, digest=sha256)


class CodeLink(Value):
    """A file in an asset's closure with the uses that lead to it, the asset's own first."""

    path: str
    chain: tuple[Use, ...]

    @property
    def via(self) -> str:
        """How the asset uses the file, step by step.

        An example is `assets/report.py:3 import lib.rates → lib/rates.py:1 from . import tax`.
        Empty for a Python asset's own file.
        """
        return " → ".join(self._steps())

    def _steps(self) -> Iterator[str]:
        origin = ""
        for use in self.chain:
            if use.text:
                yield f"{origin}:{use.line} {use.text}" if origin else use.text
            origin = use.path


def code_closure(code: Code, asset: str) -> list[CodeLink]:
    """Return the files of an asset's code, nearest first, each by its shortest path."""
    results: dict[str, tuple[Use, ...]] = {}
    level: list[tuple[Use, ...]] = [(use,) for use in code.starts.get(asset, ())]
    while level:
        following = []
        for chain in level:
            path = chain[-1].path
            if path in results or path not in code.files:
                continue
            results[path] = chain
            following += [(*chain, use) for use in code.files[path].uses]
        level = following
    return [CodeLink(path=path, chain=chain) for path, chain in results.items()]


def changed_files(
    before: Code, after: Code, asset: str, own_file: str | None
) -> Iterator[tuple[CodeLink, str]]:
    """Yield the changed files of an asset's code, except its own file.

    Each is `added`, `changed` (by its digest) or `removed` (with its former use).
    """
    was, now = _by_path(before, asset), _by_path(after, asset)
    for path, link in now.items():
        if path != own_file and path not in was:
            yield link, "added"
        elif path != own_file and before.files[path].digest != after.files[path].digest:
            yield link, "changed"
    yield from (
        (link, "removed") for path, link in was.items() if path not in now and path != own_file
    )


def code_digests(code: Code, asset: str, own_file: str | None) -> list[tuple[str, str]]:
    """Return the part of an asset's code that its fingerprint covers: each file with its digest.

    A Python asset's own file counts by function (`PythonBody.source`), so a module's other assets
    don't matter. It counts as a whole if another file imports it back.
    """
    others = [link.path for link in code_closure(code, asset) if link.path != own_file]
    back = any(use.path == own_file for path in others for use in code.files[path].uses)
    used = [*others, own_file] if own_file is not None and back else others
    return sorted((path, code.files[path].digest) for path in used)


def own_file(asset: Asset) -> str | None:
    """Return the file of a Python asset's function; None for other assets."""
    return asset.body.file if isinstance(asset.body, PythonBody) else None


def imported_packages(code: Code, asset: str) -> list[str]:
    """Return the top-level names of installed packages that an asset's code imports."""
    return sorted(
        {name for link in code_closure(code, asset) for name in code.files[link.path].packages}
    )


def _by_path(code: Code, asset: str) -> dict[str, CodeLink]:
    return {link.path: link for link in code_closure(code, asset)}


# A compiled project, and the differences between two of them.

Columns: TypeAlias = tuple[tuple[str, str], ...]
"""(name, DuckDB type) of each column in order, without `_partition`."""
LearntColumns: TypeAlias = Mapping[str, Columns]
"""Columns of sources and opaque assets that the store has pinned."""


class NodeKind(enum.StrEnum):
    """The kind of a node that produces data."""

    SOURCE = "source"
    ASSET = "asset"


class CompiledNode(Value, kw_only=True):
    """A source or an asset with its final inputs and everything known before it runs."""

    name: str
    kind: NodeKind
    inputs: tuple[InputSpec, ...] = ()
    """What the asset reads: found in the SQL, with the options from `inputs:`, or as declared."""
    depends: tuple[str, ...] = ()
    columns: Columns | None = None
    """The columns if all names and types are known before anything runs; else None."""
    column_names: tuple[str, ...] | None = None
    """The column names, which are known more often than the types."""
    partition_column: str | None = None
    """The output column that routes a row to its partition; None if all rows belong to the
    partition that is computed."""
    sql: str | None = None
    """The statement to run: the user's text with `$self` as `"__self__"`."""
    placeholders: tuple[str, ...] = ()
    """The `$name`s in `sql`, lower-case: bind exactly these."""
    uses_self: bool = False
    fingerprint: str = ""
    separable: bool = False
    not_separable_because: str = ""
    check_references: tuple[str, ...] = ()
    """Nodes that the checks read."""


class Compiled(Value, kw_only=True):
    """A project that can run; `order` is topological, sources first, without consumers."""

    project: Project
    nodes: dict[str, CompiledNode]
    order: tuple[str, ...]
    code: Code = Code()
    """The code files that its assets use."""


class Compilation(Value, kw_only=True):
    """The compiled form of the files; `compiled` is None if a problem is an error."""

    project: Project | None
    compiled: Compiled | None
    problems: list[Problem]
    partial: Compiled | None = None
    """With errors: the part that could be compiled, used to find more errors. It must not run."""


class ChangeKind(enum.StrEnum):
    """The aspect of a node that changed."""

    ADDED = "added"
    REMOVED = "removed"
    BODY = "body"
    SCHEMA = "schema"
    CHECKS = "checks"
    PROMISE = "promise"
    METADATA = "metadata"


class CodeChange(Value, kw_only=True):
    """A changed file of an asset's code, or a changed package of its `code_packages`.

    For a file, `change` is `added`, `changed` or `removed`, and `via` is how the asset uses it. For
    a package, `path` is its name and `via` has its versions.
    """

    path: str
    change: str
    via: str


class NodeChange(Value, kw_only=True):
    """One difference between the applied project and the files."""

    node: str
    change: ChangeKind
    columns: tuple[str, ...] = ()
    stale: bool = False
    """Whether publications were computed by code other than the current one."""
    kept: bool = False
    """Whether a person decided that publications stay fresh although the code differs."""
    files: tuple[CodeChange, ...] = ()
    """For changed asset code: the other changed files of its code."""


# Views have no partitions: a reader of a view requires the view's own inputs. Only these functions
# expand views, so every caller gets the same inputs.


def is_view(project: Project, name: str) -> bool:
    """Return whether the node is a view."""
    asset = project.assets.get(name)
    return asset is not None and asset.materialize == "view"


def expand_views(compiled: Compiled, inputs: Sequence[InputSpec]) -> tuple[InputSpec, ...]:
    """Return the inputs with each view replaced by its inputs, as the reader reads them.

    A node may occur more than once.
    """
    return tuple(dict.fromkeys(_expanded(compiled, inputs)))


def expand_view_names(compiled: Compiled, names: Sequence[str]) -> tuple[str, ...]:
    """Return the nodes with each view replaced by its inputs, without duplicates."""
    return tuple(dict.fromkeys(name for item in names for name in _leaves(compiled, item)))


def view_inputs(compiled: Compiled, reader: InputSpec) -> tuple[InputSpec, ...]:
    """Return a view's inputs with the combined options of the view and its reader."""
    return tuple(composed(reader, inner) for inner in compiled.nodes[reader.node].inputs)


def composed(outer: InputSpec, inner: InputSpec) -> InputSpec:
    """Return how the reader of a view reads the view's input.

    The mode is `all` if either has it; lookbacks add up.
    """
    mode = _mode(outer.mode, inner.mode)
    lookback = _together(outer.lookback, inner.lookback) if mode is not InputMode.ALL else None
    return msgspec.structs.replace(
        inner,
        mode=mode,
        lookback=lookback,
        optional=outer.optional or inner.optional,
        place=outer.place,
    )


def _expanded(compiled: Compiled, inputs: Sequence[InputSpec]) -> Iterator[InputSpec]:
    for spec in inputs:
        if is_view(compiled.project, spec.node):
            yield from _expanded(compiled, view_inputs(compiled, spec))
        else:
            yield spec


def _leaves(compiled: Compiled, name: str) -> Iterator[str]:
    if not is_view(compiled.project, name):
        yield name
        return
    for spec in compiled.nodes[name].inputs:
        yield from _leaves(compiled, spec.node)


def _mode(outer: InputMode, inner: InputMode) -> InputMode:
    if InputMode.ALL in (outer, inner):
        return InputMode.ALL
    return inner if outer is InputMode.REQUIRED else outer


def _together(outer: str | None, inner: str | None) -> str | None:
    if outer is None or inner is None:
        return outer or inner
    duration, other = Duration.parse(outer), Duration.parse(inner)
    return f"{duration.days + other.days}d{duration.seconds + other.seconds}s"


# Fingerprints: a short text for everything that a node's data depends on. If it differs, published
# data was computed by other code.

FINGERPRINT_VERSION = 1
"""Increase it when the meaning of the fingerprinted values changes; everything is then rebuilt on
request."""


_NO_CODE = Code()


def _digest(value: Any) -> str:
    return hashlib.blake2b(
        msgspec.msgpack.encode((FINGERPRINT_VERSION, value), order="deterministic"), digest_size=16
    ).hexdigest()


def source_fingerprint(source: Source, project: Project) -> str:
    """Return the fingerprint of where a source's data comes from and how it is read."""
    contract = project.contracts.get(source.contract or "")
    mapped = (
        [(column.name, column.type, column.names) for column in contract.columns]
        if contract
        else []
    )
    columns = contract.columns if contract else ()
    converted = [(column.name, column.conversions) for column in columns if column.conversions]
    parts = ("source", source.files, source.connector, source.partition, source.timezone, mapped)
    return _digest((*parts, *([converted] if converted else [])))


def asset_fingerprint(
    asset: Asset,
    analysis: Analysis | None,
    inputs: Iterable[InputSpec],
    project: Project,
    macros: Mapping[str, str],
    views: Sequence[str] = (),
    code: Code = _NO_CODE,
) -> str:
    """Return the fingerprint of an asset.

    It covers the asset code without layout and comments, the project's files that the code uses,
    the inputs and how they are read, parameters, partitioning and materialisation, and the
    fingerprints of the views it reads.
    """
    read = sorted((spec.node, spec.mode, spec.lookback, spec.optional) for spec in inputs)
    return _digest(
        (
            _body(asset, analysis),
            read,
            _parameters(asset, analysis, project),
            asset.partition,
            asset.timezone,
            asset.materialize,
            (asset.merge_keys, asset.merge_delete, asset.snapshot_columns, asset.snapshot_deletes)
            if asset.accumulates
            else (),
            sorted(macros.items()),
            *([sorted(views)] if views else []),
            *([("environment", sorted(asset.environment.items()))] if asset.environment else []),
            *_code(asset, code),
        )
    )


def _body(asset: Asset, analysis: Analysis | None) -> Any:
    body = asset.body
    if isinstance(body, PythonBody):
        return (
            "python",
            body.function,
            body.source,
            body.takes_context,
            body.annotations,
            asset.columns,
        )
    if isinstance(body, CommandBody):
        # Only another format is part of the fingerprint: assets of earlier versions have none.
        other = () if body.input_format is InputFormat.PARQUET else (body.input_format,)
        return ("command", body.command, asset.columns, *other)
    return ("sql", analysis.normalised if analysis is not None and analysis.usable else body.text)


def _code(asset: Asset, code: Code) -> list[Any]:
    """Return the code files and the versions of `code_packages`; empty without any."""
    if asset.name not in code.starts and not asset.code_packages:
        return []
    files = code_digests(code, asset.name, own_file(asset))
    packages = [(name, code.installed.get(name)) for name in sorted(asset.code_packages)]
    return [("code", files, packages)] if files or packages else []


def _parameters(asset: Asset, analysis: Analysis | None, project: Project) -> dict[str, Any]:
    """Return the parameters that asset code may use.

    All for Python and commands, named ones for SQL.
    """
    if analysis is not None and not analysis.placeholders:
        return {}
    every = {**project.settings.parameters, **asset.parameters}
    if analysis is None:
        return every
    used = {reference.name for reference in analysis.placeholders}
    return {name: value for name, value in every.items() if name.lower() in used}


# The interpreter and the packages that an attempt ran with.


class Program(msgspec.Struct, frozen=True):
    """A command's program, or its interpreter.

    `name` is how it is called. `path` is its location with links followed, relative for a file of
    the project, None if it doesn't exist. `version` is set for Python. `found` is the path before
    links were followed, for a program outside the project.
    """

    name: str
    path: str | None
    sha256: str | None
    version: str | None
    found: str | None = None


class Environment(msgspec.Struct, frozen=True):
    """The environment that an asset's code ran with.

    `packages` maps distributions, by their pip names, to versions; `programs` are those of a
    command.
    """

    interpreter: str
    packages: dict[str, str | None]
    programs: tuple[Program, ...] = ()
