"""A compiled project as a value: nodes, views, code files, fingerprints, installed packages.

These values are cached and sent between processes; reading an applied project needs only this module.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from headrace.model import Asset, CommandBody, InputMode, InputSpec, Problem, Project, PythonBody, Source, Value
from headrace.model.times import Duration
from headrace.sql.values import Analysis

# Files of code that assets use: the imports that lead to each file, and the part that the asset's
# fingerprint covers.


class Use(Value):
    """One reason why a file is used: it is `text` in line `line` of the file or declaration before it in the chain."""

    path: str
    text: str
    line: int


class CodeFile(Value, omit_defaults=True):
    """A file of code. `sha256` is of its bytes, `digest` of what counts of it: of Python its syntax tree."""

    sha256: str
    digest: str
    uses: tuple[Use, ...] = ()
    packages: tuple[str, ...] = ()
    """Top-level names that it imports and that the project doesn't have, without those of the standard library."""


class Code(Value, omit_defaults=True):
    """All files of code that assets use. `starts` are by asset: its own file where it is Python, or what its command names."""

    files: dict[str, CodeFile] = msgspec.field(default_factory=dict)
    starts: dict[str, tuple[Use, ...]] = msgspec.field(default_factory=dict)
    installed: dict[str, str | None] = msgspec.field(default_factory=dict)
    """The versions of the distributions that `code_packages` name; None for one that isn't installed."""

    def renamed(self, former: str, name: str) -> Code:
        """The same with an asset under its new name."""
        return msgspec.structs.replace(self, starts={**self.starts, name: self.starts.get(former, ())})


def macro_file(text: str) -> CodeFile:
    """A file of macros: fingerprints take its text."""
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return CodeFile(sha256=sha256, digest=sha256)


class CodeLink(Value):
    """A file of an asset's closure with the uses that lead to it, the asset's own first."""

    path: str
    chain: tuple[Use, ...]

    @property
    def via(self) -> str:
        """How the file is used, from the asset on: `assets/report.py:3 import lib.rates → lib/rates.py:1 from . import tax`.
        Empty for a Python asset's own file."""
        return " → ".join(self._steps())

    def _steps(self) -> Iterator[str]:
        origin = ""
        for use in self.chain:
            if use.text:
                yield f"{origin}:{use.line} {use.text}" if origin else use.text
            origin = use.path


def code_closure(code: Code, asset: str) -> list[CodeLink]:
    """The files of an asset's code, nearest first; of several ways to a file the shortest."""
    results: dict[str, tuple[Use, ...]] = {}
    level: list[tuple[Use, ...]] = [(use,) for use in code.starts.get(asset, ())]
    while level:
        following = []
        for chain in level:
            path = chain[-1].path
            if path in results or path not in code.files:
                continue
            results[path] = chain
            following += [(*chain, use) for use in code.files[path].uses if use.path not in results]
        level = following
    return [CodeLink(path=path, chain=chain) for path, chain in results.items()]


def changed_files(before: Code, after: Code, asset: str, own_file: str | None) -> Iterator[tuple[CodeLink, str]]:
    """The files of an asset's code, without its own, that aren't what they were by what counts of them: `added`, `changed`,
    or `removed` (then with the use that there was)."""
    was, now = _by_path(before, asset), _by_path(after, asset)
    for path, link in now.items():
        if path != own_file and path not in was:
            yield link, "added"
        elif path != own_file and before.files[path].digest != after.files[path].digest:
            yield link, "changed"
    yield from ((link, "removed") for path, link in was.items() if path not in now and path != own_file)


def code_digests(code: Code, asset: str, own_file: str | None) -> list[tuple[str, str]]:
    """What the fingerprint of an asset takes of its code: each file with its digest. A Python asset's own file counts by
    function (`PythonBody.source`), so that a module's other assets don't; as a whole where another file imports it back."""
    others = [link.path for link in code_closure(code, asset) if link.path != own_file]
    back = any(use.path == own_file for path in others for use in code.files[path].uses)
    used = [*others, own_file] if own_file is not None and back else others
    return sorted((path, code.files[path].digest) for path in used)


def own_file(asset: Asset) -> str | None:
    """The file of a Python asset's function."""
    return asset.body.file if isinstance(asset.body, PythonBody) else None


def imported_packages(code: Code, asset: str) -> list[str]:
    """The top-level names of packages that an asset's code imports and that have to be installed."""
    return sorted({name for link in code_closure(code, asset) for name in code.files[link.path].packages})


def _by_path(code: Code, asset: str) -> dict[str, CodeLink]:
    return {link.path: link for link in code_closure(code, asset)}


# A compiled project, and the differences between two of them.

Columns: TypeAlias = tuple[tuple[str, str], ...]
"""(name, DuckDB type) of each column in order, without `_partition`."""
LearntColumns: TypeAlias = Mapping[str, Columns]
"""Columns of sources and opaque assets that the store has pinned."""


class NodeKind(enum.StrEnum):
    """What produces a node's data."""

    SOURCE = "source"
    ASSET = "asset"


class CompiledNode(Value, kw_only=True):
    """A source or an asset as it runs: its final inputs and all that is known about it before it runs."""

    name: str
    kind: NodeKind
    inputs: tuple[InputSpec, ...] = ()
    """What the body reads: found in the SQL, with how `inputs:` says that it is read; or as declared."""
    depends: tuple[str, ...] = ()
    columns: Columns | None = None
    """Known completely, types included, before anything runs; else None."""
    column_names: tuple[str, ...] | None = None
    """Known more often than the types."""
    partition_column: str | None = None
    """The output column that routes a row to its partition; None where rows are taken at their word."""
    sql: str | None = None
    """The statement to run: the user's text with `$self` as `"__self__"`."""
    placeholders: tuple[str, ...] = ()
    """The `$name`s in `sql`, lower-case: bind these and no others."""
    uses_self: bool = False
    fingerprint: str = ""
    separable: bool = False
    not_separable_because: str = ""
    check_references: tuple[str, ...] = ()
    """Nodes that the checks read."""


class Compiled(Value, kw_only=True):
    """A project that can run. `order` is topological, sources first; consumers aren't in it."""

    project: Project
    nodes: dict[str, CompiledNode]
    order: tuple[str, ...]
    code: Code = Code()
    """The files of code that its assets use."""


class Compilation(Value, kw_only=True):
    """What the files say now. `compiled` is None if a problem is an error."""

    project: Project | None
    compiled: Compiled | None
    problems: list[Problem]
    partial: Compiled | None = None
    """Where there are errors: what could be understood nevertheless, to look for more of them. Nothing may run with it."""


class ChangeKind(enum.StrEnum):
    """What of a node is different."""

    ADDED = "added"
    REMOVED = "removed"
    BODY = "body"
    SCHEMA = "schema"
    CHECKS = "checks"
    PROMISE = "promise"
    METADATA = "metadata"


class CodeChange(Value, kw_only=True):
    """A changed file of an asset's code: `change` is `added`, `changed` or `removed`, `via` how the asset uses it. Or a changed package
    of its `code_packages`: `path` is its name, `via` has its versions."""

    path: str
    change: str
    via: str


class NodeChange(Value, kw_only=True):
    """One difference between what is applied and what the files say."""

    node: str
    change: ChangeKind
    columns: tuple[str, ...] = ()
    stale: bool = False
    """Whether what is published was computed by another body than the one that would run now."""
    kept: bool = False
    """Whether somebody said that what is published stays as it is, though other code would run now."""
    files: tuple[CodeChange, ...] = ()
    """Of a changed body: the other files of its code that changed."""


# Views have no partitions: a reader of a view requires the view's own inputs. Only these
# functions expand views, so every caller gets the same inputs.


def is_view(project: Project, name: str) -> bool:
    """Whether the node is a view."""
    asset = project.assets.get(name)
    return asset is not None and asset.materialize == "view"


def expand_views(compiled: Compiled, inputs: Sequence[InputSpec]) -> tuple[InputSpec, ...]:
    """The inputs without views: each is replaced by what it reads, as the reader reads it. A node may be there more than once."""
    return tuple(dict.fromkeys(_expanded(compiled, inputs)))


def expand_view_names(compiled: Compiled, names: Sequence[str]) -> tuple[str, ...]:
    """The nodes without views: each is replaced by what it reads, once."""
    return tuple(dict.fromkeys(name for item in names for name in _leaves(compiled, item)))


def view_inputs(compiled: Compiled, reader: InputSpec) -> tuple[InputSpec, ...]:
    """What a view reads, as somebody reads it who reads the view like this."""
    return tuple(composed(reader, inner) for inner in compiled.nodes[reader.node].inputs)


def composed(outer: InputSpec, inner: InputSpec) -> InputSpec:
    """How a view's input is read by who reads the view: `all` wherever either says so, looking back as far as both together."""
    mode = _mode(outer.mode, inner.mode)
    lookback = _together(outer.lookback, inner.lookback) if mode is not InputMode.ALL else None
    return msgspec.structs.replace(inner, mode=mode, lookback=lookback, optional=outer.optional or inner.optional, place=outer.place)


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


# Fingerprints: a short text for everything that a node's data depends on. If it differs,
# published data was computed by other code.

FINGERPRINT_VERSION = 1
"""Raise it when the meaning of what goes in changes; everything is then rebuilt on request."""


_NO_CODE = Code()


def _digest(value: Any) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode((FINGERPRINT_VERSION, value), order="deterministic"), digest_size=16).hexdigest()


def source_fingerprint(source: Source, project: Project) -> str:
    """Where the data comes from and how it is read."""
    contract = project.contracts.get(source.contract or "")
    mapped = [(column.name, column.type, column.names) for column in contract.columns] if contract else []
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
    """The body without layout and comments, the project's files that its code uses, its inputs and how they are read, parameters,
    partition and materialisation, and the fingerprints of the views that it reads."""
    read = sorted((spec.node, spec.mode, spec.lookback, spec.optional) for spec in inputs)
    return _digest(
        (
            _body(asset, analysis),
            read,
            _parameters(asset, analysis, project),
            asset.partition,
            asset.timezone,
            asset.materialize,
            (asset.merge_keys, asset.merge_delete, asset.snapshot_columns, asset.snapshot_deletes) if asset.accumulates else (),
            sorted(macros.items()),
            *([sorted(views)] if views else []),
            *([("environment", sorted(asset.environment.items()))] if asset.environment else []),
            *_code(asset, code),
        )
    )


def _body(asset: Asset, analysis: Analysis | None) -> Any:
    body = asset.body
    if isinstance(body, PythonBody):
        return ("python", body.function, body.source, body.takes_context, body.annotations, asset.columns)
    if isinstance(body, CommandBody):
        return ("command", body.command, asset.columns)
    return ("sql", analysis.normalised if analysis is not None and analysis.usable else body.text)


def _code(asset: Asset, code: Code) -> list[Any]:
    """The files that its code uses, and the versions of its `code_packages`; nothing of an asset without any."""
    files = code_digests(code, asset.name, own_file(asset))
    packages = [(name, code.installed.get(name)) for name in sorted(asset.code_packages)]
    return [("code", files, packages)] if files or packages else []


def _parameters(asset: Asset, analysis: Analysis | None, project: Project) -> dict[str, Any]:
    """All that a Python or command body could look at; of SQL only what it names."""
    every = {**project.settings.parameters, **asset.parameters}
    if analysis is None:
        return every
    used = {reference.name for reference in analysis.placeholders}
    return {name: value for name, value in every.items() if name.lower() in used}


# The interpreter and the versions of packages that are installed here.


class Program(msgspec.Struct, frozen=True):
    """A program of a command, or what interprets it. `name` is how it is called; `path` is where it lies,
    links followed, relative for a file of the project, None for one that isn't there. `version` is a
    Python's. `found` is the path before links were followed, of a program outside the project."""

    name: str
    path: str | None
    sha256: str | None
    version: str | None
    found: str | None = None


class Environment(msgspec.Struct, frozen=True):
    """What an asset's code ran with. `packages` are distributions, as pip names them, with their versions;
    `programs` those of a command."""

    interpreter: str
    packages: dict[str, str | None]
    programs: tuple[Program, ...] = ()


class Installed:
    """Versions as they are installed now, each looked up once."""

    def __init__(self) -> None:
        self._versions: dict[str, str | None] = {}

    def version(self, name: str) -> str | None:
        """Of a distribution, as pip names it; None for one that isn't installed."""
        if name not in self._versions:
            self._versions[name] = _version(name)
        return self._versions[name]

    def named(self, names: Iterable[str]) -> dict[str, str | None]:
        """The version of each distribution."""
        return {name: self.version(name) for name in names}

    def imported(self, names: Collection[str]) -> dict[str, str | None]:
        """The distributions that top-level names come from, with their versions; a name that nothing has is left out."""
        results = {name: version for name in names if (version := self.version(name)) is not None}
        others = [name for name in names if name not in results]
        known: Mapping[str, list[str]] = _by_import() if others else {}
        return results | self.named(sorted({item for name in others for item in known.get(name, ())}))


def current_environment(imported: Collection[str], named: Iterable[str]) -> Environment:
    """This process's interpreter, with the distributions of top-level names that are imported, and others that are named."""
    interpreter, here = f"{platform.python_implementation()} {platform.python_version()}", Installed()
    return Environment(interpreter, here.imported(imported) | here.named(named))


def installed_versions(names: Iterable[str]) -> dict[str, str | None]:
    """The version of each distribution, as pip names it; None for one that isn't installed."""
    return Installed().named(names)


@functools.cache
def _by_import() -> Mapping[str, list[str]]:
    """Takes a while: it reads the list of files of everything that is installed."""
    from importlib import metadata

    return metadata.packages_distributions()


def _version(name: str) -> str | None:
    from importlib import metadata  # takes longer than most commands, and few projects name packages

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
