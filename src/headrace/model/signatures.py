"""What a Python asset's parameters ask for: the context first, then each input in a container of its choice."""

from __future__ import annotations

import ast

from headrace.model.nodes import Value
from headrace.model.reporting import Report, shown

_CONTAINERS = {
    "pyarrow.Table": "arrow",
    "pyarrow.lib.Table": "arrow",
    "polars.DataFrame": "polars",
    "polars.LazyFrame": "polars_lazy",
    "pandas.DataFrame": "pandas",
    "duckdb.DuckDBPyRelation": "duckdb",
}
_USUAL = {"pa": "pyarrow", "pl": "polars", "pd": "pandas", "duckdb": "duckdb", "pyarrow": "pyarrow", "polars": "polars", "pandas": "pandas"}
"""What names mean that a file uses without importing them at its top level (under `TYPE_CHECKING`, say)."""
_CONTEXTS = ("headrace.Context", "headrace.model.authoring.Context", "Context")
_ASSETS = ("headrace.asset", "headrace.model.authoring.asset")
_HINT = "pa.Table (the default), pl.DataFrame, pl.LazyFrame, pd.DataFrame or duckdb.DuckDBPyRelation"
CONTEXT = "ctx"


class Signature(Value, kw_only=True):
    """A function's parameters without the context: name to line, those with a default, and the containers asked for."""

    takes_context: bool
    parameters: dict[str, int]
    defaults: tuple[str, ...]
    containers: dict[str, str]
    takes_any: bool
    """Whether it has `**inputs`."""


class Aliases:
    """What a module's names mean, from its imports."""

    def __init__(self, tree: ast.Module) -> None:
        self._names: dict[str, str] = {}
        for statement in _imports(tree):
            if isinstance(statement, ast.ImportFrom):
                if statement.level == 0 and statement.module:
                    for alias in statement.names:
                        self._names[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
                        if alias.name == "*" and statement.module == "headrace":
                            self._names |= {"asset": "headrace.asset", "Context": "headrace.Context"}
                continue
            for alias in statement.names:
                if alias.asname:
                    self._names[alias.asname] = alias.name
                else:
                    top = alias.name.partition(".")[0]
                    self._names[top] = top

    def is_asset(self, node: ast.expr) -> bool:
        """Whether an expression names Headrace's decorator."""
        return self.resolve(node) in _ASSETS

    def is_asset_decorator(self, decorator: ast.expr) -> bool:
        """Whether a decorator, called or not, is Headrace's."""
        return self.is_asset(decorator.func if isinstance(decorator, ast.Call) else decorator)

    def resolve(self, node: ast.expr) -> str:
        """The full name of a dotted expression, as imported; empty if it is none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        first = self._names.get(node.id) or (_USUAL.get(node.id, node.id) if parts else node.id)
        return ".".join([first, *reversed(parts)])


def _imports(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Imports at the top level, and one level into `if` and `try` (TYPE_CHECKING, optional packages)."""
    results: list[ast.Import | ast.ImportFrom] = []
    for statement in tree.body:
        inner = statement.body if isinstance(statement, (ast.If, ast.Try)) else [statement]
        results.extend(node for node in inner if isinstance(node, (ast.Import, ast.ImportFrom)))
    return results


def read_signature(function: ast.FunctionDef, aliases: Aliases, report: Report) -> Signature:
    """What the function asks for. Annotations that name no container are reported."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    takes_context = bool(positional) and _is_context(positional[0], aliases)
    with_default = positional[len(positional) - len(arguments.defaults) :] if arguments.defaults else []
    optional = [
        *with_default,
        *(arg for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is not None),
    ]
    inputs = [*positional[takes_context:], *arguments.kwonlyargs]
    if arguments.posonlyargs[takes_context:]:
        line = arguments.posonlyargs[0].lineno
        report.error("inputs_mismatch", line, "inputs are passed by name, and `/` forbids that", "take `/` out of the parameters")
    if arguments.vararg is not None:
        report.error(
            "inputs_mismatch",
            arguments.vararg.lineno,
            f"inputs are passed by name, not as `*{arguments.vararg.arg}`",
            "write a parameter for each input",
        )
    return Signature(
        takes_context=takes_context,
        parameters={argument.arg: argument.lineno for argument in inputs},
        defaults=tuple(argument.arg for argument in optional),
        containers={argument.arg: _container(argument, aliases, report) for argument in inputs if argument not in optional},
        takes_any=arguments.kwarg is not None,
    )


def _is_context(argument: ast.arg, aliases: Aliases) -> bool:
    if argument.arg == CONTEXT:
        return True
    return argument.annotation is not None and aliases.resolve(_unwrapped(argument.annotation)) in _CONTEXTS


def _container(argument: ast.arg, aliases: Aliases, report: Report) -> str:
    if argument.annotation is None:
        return "arrow"
    name = aliases.resolve(_unwrapped(argument.annotation))
    result = _CONTAINERS.get(name) or (None if name not in ("typing.Any", "Any", "object") else "arrow")
    if result is None:
        report.error(
            "unknown_container", argument.lineno, f"the input {shown(argument.arg)} can't be given as {shown(name or 'that')}", _HINT
        )
        return "arrow"
    return result


def _unwrapped(annotation: ast.expr) -> ast.expr:
    """The annotation itself: out of quotes, `… | None` and `Optional[…]`."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _unwrapped(ast.parse(annotation.value, mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return annotation
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        none_left = isinstance(annotation.left, ast.Constant) and annotation.left.value is None
        return _unwrapped(annotation.right if none_left else annotation.left)
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name) and annotation.value.id == "Optional":
        return _unwrapped(annotation.slice)
    return annotation
