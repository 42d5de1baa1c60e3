"""The names that dbt offers to templates, as far as they are known without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from headrace_import.importers.dbt.dialects import DIALECTS
from headrace_import.importers.dbt.evaluator import IS_INCREMENTAL, Evaluator
from headrace_import.importers.dbt.filters import number_range
from headrace_import.importers.dbt.nodes import Node, Nodes
from headrace_import.importers.dbt.overrides import Dispatch
from headrace_import.importers.dbt.package_macros import packages
from headrace_import.importers.dbt.project_files import flag, mapped
from headrace_import.importers.dbt.templates import MissingNode, NotStatic
from headrace_import.importers.dbt.values import (
    SELF,
    Configuration,
    Function,
    Missing,
    Namespace,
    Relation,
    Star,
    Template,
)

_NO_DEFAULT = Missing("default")
_OLD_KEYS = "surrogate_key_treat_nulls_as_empty_strings"
"""A variable of dbt_utils: its `generate_surrogate_key` is the old one."""
_NO_CONFIG: Mapping[str, Any] = {}


@dataclass(slots=True)
class Rendered:
    """What a template of one node comes to, and what it used on the way."""

    text: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    """Unique id → name in the new project, in order of use."""
    uses: Counter[str] = field(default_factory=Counter)
    """Name in the new project, in lower case → how often the text reads it."""
    variables: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables → the default that was written in."""
    macros: list[str] = field(default_factory=list)
    asks_incremental: bool = False
    """Whether `is_incremental()` decides about more than a condition between marks."""
    by_dbt: bool = False
    """Whether dbt compiled it: then nothing is known of the variables in it."""
    marks: list[str] = field(default_factory=list)
    """What `dbt_utils.star` gave, which must stand in the text as it is."""


class Renderer:
    """Renders the templates of a project without dbt. `dialect` is that of its SQL."""

    def __init__(self, nodes: Nodes, dialect: str, variables: dict[str, Any]) -> None:
        self._nodes = nodes
        self._dialect = dialect
        self._variables = variables

    def render(
        self,
        text: str,
        *,
        incremental: bool = False,
        as_self: str = "",
        config: Mapping[str, Any] | None = None,
    ) -> Rendered:
        """Return what a template comes to. Raise NotStatic.

        With `incremental`, the text of `if is_incremental()` is there between marks. A reference to
        the node with the id `as_self` is written as `$self`. `config` is what files of YAML
        configure for the node, for `config.get`.
        """
        result = Rendered()
        evaluator = self._evaluator(result, as_self, config or {})
        evaluator.guarding = incremental
        result.text = evaluator.text(text)
        if any(mark not in result.text for mark in result.marks):
            raise NotStatic("it changes the text that `dbt_utils.star` gives, or asks about it")
        return result

    def value(self, text: str) -> tuple[Any, Rendered]:
        """Return the value of a template in YAML, such as `ref('orders')`. Raise NotStatic."""
        result = Rendered()
        return self._evaluator(result).value(text), result

    def call(self, macro: Template, kwargs: dict[str, Any]) -> Rendered:
        """Return what a macro writes with these arguments. Raise NotStatic."""
        result = Rendered()
        evaluator = self._evaluator(result)
        result.text = str(evaluator.call_macro(macro, [], kwargs))
        if result.marks:
            raise NotStatic("`dbt_utils.star` in a test asks the warehouse for columns")
        return result

    def _evaluator(
        self, result: Rendered, as_self: str = "", config: Mapping[str, Any] = _NO_CONFIG
    ) -> Evaluator:
        names = _Names(self._nodes, self._dialect, self._variables, result, as_self, config)
        evaluator = Evaluator(names.all(), names.macro)
        evaluator.called = result.macros
        return evaluator


class _Names:
    """The names that one template sees; what it uses is recorded in `result`."""

    def __init__(
        self,
        nodes: Nodes,
        dialect: str,
        variables: dict[str, Any],
        result: Rendered,
        as_self: str,
        config: Mapping[str, Any],
    ) -> None:
        self._nodes, self._dialect, self._variables = nodes, dialect, variables
        self._result, self._as_self, self._configured = result, as_self, config
        files = nodes.files
        self._dispatching = Dispatch(nodes.macros, files.name, files.settings, dialect)
        self._packages = packages(dialect)

    def all(self) -> dict[str, Any]:
        """Return the names and their values. The project's macros come before them, as in dbt."""
        functions: dict[str, Callable[..., Any]] = {
            "ref": self._ref,
            "source": self._source,
            "var": self._var,
            "env_var": self._env_var,
            IS_INCREMENTAL: self._is_incremental,
            "should_full_refresh": lambda: flag(self._config_get("full_refresh")),
            "return": lambda *_: None,
            "range": number_range,
            "namespace": lambda **values: Namespace("namespace", dict(values)),
            "log": lambda *_, **__: "",
            "print": lambda *_, **__: "",
            "tojson": _known("tojson"),
            "set": lambda values: list(dict.fromkeys(values)),
            "dict": lambda **values: dict(values),
            "zip": lambda *lists: [list(items) for items in zip(*lists, strict=False)],
            "as_text": str,
        }
        names: dict[str, Any] = {name: Function(name, call) for name, call in functions.items()}
        names["this"] = Relation("", SELF)
        names["execute"] = True
        names["config"] = Configuration(
            "config", self._config, {"get": Function("config.get", self._config_get)}
        )
        names["flags"] = Namespace("flags", {"FULL_REFRESH": False})
        target = {"type": self._dialect} if self._dialect in DIALECTS else {}
        names["target"] = Namespace("target", target)
        names["adapter"] = Namespace("adapter", {"dispatch": Function("dispatch", self._dispatch)})
        names["exceptions"] = Namespace(
            "exceptions",
            {
                "raise_compiler_error": Function("raise_compiler_error", _raise),
                "warn": Function("warn", lambda *_: ""),
            },
        )
        names |= {
            package: Namespace(package, self._package(package, members))
            for package, members in self._packages.items()
        }
        names[self._nodes.files.name] = Namespace(self._nodes.files.name, dict(self._nodes.macros))
        return {name: value for name, value in names.items() if name not in self._nodes.macros}

    def _package(
        self, package: str, members: Mapping[str, Callable[..., Any]]
    ) -> dict[str, Function | Template]:
        functions = {
            name: self._replaced(package, name) or self._packaged(package, name, call)
            for name, call in members.items()
        }
        if package == "dbt_utils" and self._variables.get(_OLD_KEYS):
            functions["generate_surrogate_key"] = functions["surrogate_key"]
        return functions

    def _replaced(self, package: str, name: str) -> Template | Function | None:
        """Return the project's macro in place of a package's; a function that stops if it can't
        be told which of them it is."""
        try:
            return self._dispatching.find(name, package)
        except NotStatic as error:
            return Function(f"{package}.{name}", partial(_stop, error.reason))

    def _packaged(self, package: str, name: str, call: Callable[..., Any]) -> Function:
        def called(*args: Any, **kwargs: Any) -> Any:
            self._dispatching.require_helpers(name, self._packages[package])
            self._result.macros.append(f"macro.{package}.{name}")
            value = call(*args, **kwargs)
            if isinstance(value, Star):
                self._result.marks.append(value.mark)
            return value

        return Function(f"{package}.{name}", called)

    def macro(self, name: str) -> Template | Function | None:
        """Return a macro of the project, or one of dbt's builtin, by its name."""
        template = self._nodes.macros.get(name)
        if template is not None:
            return template
        builtin = self._packages["dbt"].get(name)
        if builtin is None:
            return None
        return self._replaced("dbt", name) or self._packaged("dbt", name, builtin)

    def _dispatch(self, name: str, macro_namespace: str = "", *_: Any, **__: Any) -> Any:
        template = self._dispatching.find(name, macro_namespace)
        if template is None:
            raise NotStatic(f"`adapter.dispatch` finds no macro for {name[:60]}")
        return template

    def _ref(self, *names: str, v: object = None, version: object = None) -> Relation:
        name = names[-1]
        node = self._nodes.find_ref(name, v if v is not None else version)
        if node is None:
            if len(names) > 1 and names[0] != self._nodes.files.name:
                raise NotStatic(f"ref('{name}') is a node of the package {names[0]}")
            raise MissingNode(f"ref('{name}') isn't an enabled node of this project")
        return self._relation(node)

    def _source(self, source: str, table: str) -> Relation:
        node = self._nodes.find_source(source, table)
        if node is None:
            raise MissingNode(f"source('{source}', '{table}') isn't declared")
        return self._relation(node)

    def _relation(self, node: Node) -> Relation:
        self._result.refs[node.uid] = node.target
        self._result.uses[node.target.lower()] += 1
        return Relation(node.uid, SELF if node.uid == self._as_self else node.target)

    def _var(self, name: str, default: Any = _NO_DEFAULT) -> Any:
        value = self._variables.get(name, default)
        if isinstance(value, Missing):
            raise NotStatic(f"var('{name}') has no value in dbt_project.yml")
        self._result.variables[name] = value
        return value

    def _is_incremental(self) -> bool:
        self._result.asks_incremental = True
        return False

    def _env_var(self, name: str, default: Any = None) -> Any:
        if default is None or "SECRET" in name:
            raise NotStatic(f"env_var('{name}') is known only where dbt runs")
        self._result.environment[name] = str(default)
        return default

    def _config_get(self, name: str, default: Any = None, *_: Any) -> Any:
        if name in self._result.config:
            return self._result.config[name]
        return self._configured.get(name, default)

    def _config(self, *args: Any, **values: Any) -> str:
        for mapping in args:
            values = {**mapped_values(mapping), **values}
        for key, value in values.items():
            self._result.config[key] = value
        return ""


def mapped_values(value: object) -> dict[str, Any]:
    """Return a mapping's values; nothing for anything else."""
    return dict(value) if isinstance(value, dict) else dict(mapped(value))


def _stop(reason: str, *_: Any, **__: Any) -> str:
    raise NotStatic(reason)


def _raise(message: object = "") -> str:
    raise NotStatic(f"it stops with: {str(message)[:200]}")


def _known(name: str) -> Callable[..., Any]:
    from headrace_import.importers.dbt.filters import FILTERS

    return FILTERS[name]
