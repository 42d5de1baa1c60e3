"""Kinds of one class: check kinds, sources, file formats, export formats and connections.

A kind of Headrace itself is a file in the folder of its group (`FOLDERS`). An installed package
names its class in an entry point of the group; `load_plugin` finds both. Importing the packages'
metadata and reading it takes tens of milliseconds, so callers ask only for names that aren't built
in (docs/decisions/0108-extension-by-entry-points.md).
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.model.errors import HeadraceError, Report, shown
from headrace.model.nodes import Value

if TYPE_CHECKING:
    import logging
    from importlib.metadata import EntryPoint

CHECKS = "headrace.checks"
SOURCES = "headrace.sources"
FORMATS = "headrace.formats"
EXPORTS = "headrace.exports"
GROUPS = (CHECKS, SOURCES, FORMATS, EXPORTS)
"""The groups of entry points, one per kind of thing that a package can add."""
CONNECTIONS = "headrace.connections"
"""Classes for connections to databases: `headrace.connect.connection_kinds.ConnectionKind`."""
EMITTERS = "headrace.emitters"
"""Functions that return what reports attempts to another system while a leader leads."""
WEEKLY = "headrace.weekly"
"""Functions that return the lines of a digest about its week."""
EXECUTORS = "headrace.executors"
"""Functions that return an executor, which runs attempts elsewhere."""
SECRETS = "headrace.secrets"
"""Functions that return a secret of a secret manager."""
REPEATABILITY = "headrace.repeatability"
"""Functions that say why an asset may give other rows when it is computed again."""
ERASURES = "headrace.erasures"
"""Functions that do erasures again, which a restored state doesn't know."""
ROUTES = "headrace.routes"
"""Functions that return routes of the HTTP server."""
ENVIRONMENTS = "headrace.environments"
"""Functions that make the environment of an asset with `requirements`."""
FOLDERS = {
    CHECKS: "checks.kinds",
    SOURCES: "connect.source_kinds",
    FORMATS: "connect.record_formats",
    EXPORTS: "connect.export_formats",
}
"""The package in `headrace` with the group's own kinds: a module `check_digit` has the class whose
`name` is `check_digit`. A folder is made with its first kind.
"""
OWN_FORMATS = frozenset({"csv", "json", "jsonl", "parquet"})
"""Formats that `headrace.model` knows without their classes, for sources and exports."""
_ELSEWHERE = {FORMATS: {name: f"headrace.connect.formats.{name}" for name in OWN_FORMATS}}
"""Own kinds in a package that has other modules as well."""
LEGACY = "headrace-legacy"
_DATABASES = "headrace-databases"
IN_PACKAGES = {
    SOURCES: {
        **dict.fromkeys(("query", "table", "cursor", "changes"), _DATABASES),
        "http": "headrace-http",
        "airflow": "headrace-import",
    },
    CONNECTIONS: dict.fromkeys(("postgresql", "mysql", "sqlite"), _DATABASES),
    ENVIRONMENTS: {"python": "headrace-python"},
    EXECUTORS: {"dask": "'headrace-cloud[dask]'"},
    SECRETS: {
        "vault": "headrace-cloud",
        **{name: f"'headrace-cloud[{name}]'" for name in ("aws", "azure", "gcp")},
    },
    EMITTERS: {"openlineage": "headrace-observe", "traces": "'headrace-observe[otel]'"},
    FORMATS: dict.fromkeys(
        (
            "bai2",
            "camt",
            "coda",
            "copybook",
            "dbf",
            "edifact",
            "excel",
            "fhir",
            "fix",
            "fixed_width",
            "geojson",
            "geopackage",
            "hl7",
            "mt940",
            "naaccr",
            "nacha",
            "pain",
            "sas",
            "spss",
            "stata",
            "ubl",
            "x12",
            "xml",
        ),
        LEGACY,
    ),
    EXPORTS: {"excel": LEGACY},
    ROUTES: {
        "mcp": "headrace-agents",
        "metrics": "headrace-observe",
        "sign-in": "headrace-sso",
        **dict.fromkeys(("badge", "ui"), "headrace-ui"),
    },
}
"""Names that packages of this repository provide, with what `pip install` takes."""
ANY = "*"
"""Stands for all names of a group, where a declaration depends on which endings they have."""


class Plugin(Value, kw_only=True):
    """One entry point of an installed package. `package` is its name and version, as pip has it."""

    group: str
    name: str
    package: str
    target: str


class BrokenPlugin(HeadraceError):
    """An installed package has an entry point that can't be used; the message names the package."""

    def __init__(self, plugin: Plugin, reason: str, *, hint: str = "") -> None:
        super().__init__(
            f"{shown(plugin.name)} of the installed package {plugin.package} can't be used:"
            f" {reason}",
            hint=hint or f"repair the package's entry point in {plugin.group}, or uninstall it",
        )
        self.plugin = plugin


def plugins(group: str) -> tuple[Plugin, ...]:
    """Return the entry points of a group, by name and package."""
    return tuple(
        sorted(
            {plugin for plugin, _ in _entry_points(group)},
            key=lambda plugin: (plugin.name, plugin.package),
        )
    )


def functions(group: str) -> list[Callable[..., Any]]:
    """Return the functions that installed packages have in a group, by name.

    Raises BrokenPlugin if one can't be imported.
    """
    return [function_of(plugin) for plugin in plugins(group)]


def function_named(group: str, name: str) -> Callable[..., Any]:
    """Return the function that an installed package has under a name.

    Raises HeadraceError with the package to install if there is none, and BrokenPlugin.
    """
    for plugin in plugins(group):
        if plugin.name == name:
            return function_of(plugin)
    package = missing_package(group, name) or "the package that has it"
    raise HeadraceError(f"`{name}` is in another package", hint=f"pip install {package}")


def function_of(plugin: Plugin) -> Callable[..., Any]:
    """Return the function that an entry point names. Raises BrokenPlugin like `functions`."""
    function: Callable[..., Any] = _loaded(plugin, dict(_entry_points(plugin.group))[plugin])
    return function


def _loaded(plugin: Plugin, entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise BrokenPlugin(plugin, f"{type(error).__name__}: {error}") from error


def plugin_names(group: str) -> tuple[str, ...]:
    """Return the names of a group's own kinds, then those of its entry points."""
    return tuple(dict.fromkeys((*own_kinds(group), *(plugin.name for plugin in plugins(group)))))


@cache
def own_kinds(group: str) -> dict[str, str]:
    """Return Headrace's own kinds, found by their files: name → module, by name."""
    package = f"headrace.{FOLDERS[group]}"
    folder = "/".join((sys.modules["headrace"].__path__[0], *FOLDERS[group].split(".")))
    modules = {module.name: f"{package}.{module.name}" for module in pkgutil.iter_modules([folder])}
    return dict(sorted({**_ELSEWHERE.get(group, {}), **modules}.items()))


def missing_package(group: str, name: str) -> str:
    """Return what to install for a name that no installed package has; empty if unknown."""
    known = IN_PACKAGES.get(group, {}).get(name, "")
    return known if known and not plugin_state(group, name) else ""


def report_missing(report: Report, line: int, what: str, group: str, name: str) -> bool:
    """Report what is declared if only a package has it that isn't installed; return whether so.

    The file's meaning depends on whether `name` is installed from then on.
    """
    report.uses_plugin(group, name)
    package = missing_package(group, name)
    if package:
        message = f"{what} is in another package"
        report.error("unsupported_kind", line, message, f"pip install {package}")
    return bool(package)


Kind = TypeVar("Kind")


def load_plugin(group: str, name: str, base: type[Kind]) -> Kind | None:
    """Return an instance of the class that Headrace or an installed package has under `name`.

    None if there is none; Headrace's own goes first. Raises BrokenPlugin if a package's class can't
    be imported, isn't a subclass of `base`, or if two packages have the name, and HeadraceError if
    a file of Headrace's own has no such class.
    """
    if group in FOLDERS and (module := own_kinds(group).get(name)) is not None:
        return _own_kind(module, name, base)
    matching = [item for item in _entry_points(group) if item[0].name == name]
    if not matching:
        return None
    (plugin, entry), *others = matching
    if others:
        packages = " and ".join(sorted(item[0].package for item in matching))
        raise BrokenPlugin(
            plugin, f"{packages} both have it", hint="uninstall all but one of these packages"
        )
    return _instance(plugin, entry, base)


def _own_kind(module: str, name: str, base: type[Kind]) -> Kind:
    for item in vars(import_module(module)).values():
        if isinstance(item, type) and issubclass(item, base) and getattr(item, "name", "") == name:
            return item()
    raise HeadraceError(
        f"{module} has no subclass of {base.__name__} with the name {shown(name)}",
        hint=f'write name = "{name}" in its class, or rename the file',
    )


def _instance(plugin: Plugin, entry: EntryPoint, base: type[Kind]) -> Kind:
    without_duckdb = "duckdb" not in sys.modules
    loaded = _loaded(plugin, entry)
    if without_duckdb and "duckdb" in sys.modules:
        # The leader has the state database open; DuckDB in the same process brings a second SQLite.
        raise BrokenPlugin(
            plugin,
            "its module imports duckdb, which a process that reads declarations must not",
            hint="import duckdb inside the methods that run in workers",
        )
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise BrokenPlugin(
            plugin, f"{plugin.target} isn't a subclass of {base.__module__}.{base.__qualname__}"
        )
    if getattr(loaded, "name", None) != plugin.name:
        raise BrokenPlugin(
            plugin,
            f"{plugin.target} has the name {shown(getattr(loaded, 'name', None))}",
            hint="the class's `name` and the entry point's must be equal",
        )
    try:
        return loaded()
    except Exception as error:
        raise BrokenPlugin(plugin, f"{type(error).__name__}: {error}") from error


@contextmanager
def running(
    group: str,
    name: str,
    passing: tuple[type[BaseException], ...] = (),
    words: Callable[[str], str] = str,
) -> Iterator[None]:
    """Run code of a plugin: any exception becomes BrokenPlugin with the package's name.

    Except those that are `passing`. Where rows are read, `words` is `texts.of_error`.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (HeadraceError, *passing)):
            raise
        plugin = next((plugin for plugin in plugins(group) if plugin.name == name), None)
        if plugin is None:
            raise
        raise BrokenPlugin(plugin, words(f"{type(error).__name__}: {error}")) from error


@contextmanager
def logged(plugin: Plugin, log: logging.Logger) -> Iterator[None]:
    """Run code of a plugin without which Headrace goes on: what it raises is logged."""
    try:
        with running(plugin.group, plugin.name):
            yield
    except HeadraceError as error:
        log.warning("%s", error)


def plugin_state(group: str, name: str) -> str:
    """Return the package, version and class that a name stands for; empty if none is installed.

    `ANY` stands for all of the group.
    """
    return "; ".join(
        f"{plugin.package} {plugin.target}"
        for plugin in plugins(group)
        if name in (plugin.name, ANY)
    )


@cache
def _entry_points(group: str) -> tuple[tuple[Plugin, EntryPoint], ...]:
    """Read the metadata of installed packages, once per process and group."""
    from importlib.metadata import entry_points  # 10 ms, paid for names that aren't built in

    results = {}
    for entry in entry_points(group=group):
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "unknown"
        plugin = Plugin(group=group, name=entry.name, package=package, target=entry.value)
        results[plugin] = entry
    return tuple(results.items())
