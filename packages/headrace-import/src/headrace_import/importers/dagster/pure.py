"""Assets of Dagster whose functions only compute rows from rows: Python assets with them.

What such a function may use is written out below; everything else stays a command. What a table
doesn't keep of a result (an index, values that aren't rows) stops the attempt, so that no asset
publishes other rows than Dagster's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from headrace_import.importers.dagster.definitions import Defined
from headrace_import.importers.dagster.partitions import Partitions
from headrace_import.importers.python_definitions import Definitions, NotKnown

_ARGUMENTS = frozenset(
    ("name", "key", "key_prefix", "deps", "partitions_def", "group_name", "owners", "description",
     "tags", "kinds", "compute_kind", "code_version", "metadata")
)  # fmt: skip
_BUILTINS = frozenset(
    ("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "int", "isinstance",
     "len", "list", "map", "max", "min", "range", "reversed", "round", "sorted", "str", "sum",
     "tuple", "zip", "ValueError", "filter")
)  # fmt: skip
_MODULES = frozenset(("pandas", "math", "datetime", "decimal", "statistics", "re", "itertools"))
_CONVERSIONS = frozenset(("to_datetime", "to_dict", "to_list", "to_numeric", "to_period", "tolist"))
_CHANGING = frozenset(("now", "today", "utcnow", "sample", "eval", "query", "pipe", "environ"))
"""Attributes whose values depend on the run, or run text as code."""
_OF_CONTEXT = frozenset(("partition_key", "log"))
_NODES = (
    ast.AsyncFunctionDef, ast.Await, ast.ClassDef, ast.FunctionDef, ast.Global, ast.Import,
    ast.ImportFrom, ast.Nonlocal, ast.Set, ast.SetComp, ast.Try, ast.With, ast.Yield, ast.YieldFrom,
)  # fmt: skip
"""Statements and values that no carried function has."""
_CODE = '''

class _Key(str):
    """A partition key as Dagster writes it."""


class _Context:
    """What the function uses of Dagster's context."""

    def __init__(self, ctx):
        dimensions = {dimensions}
        self.partition_key = _Key("|".join(dimensions.values()))
        self.partition_key.keys_by_dimension = dimensions
        self.log = _Log(ctx)


class _Log:
    def __init__(self, ctx):
        self.debug = self.info = self.warning = self.error = lambda text: ctx.log(str(text))
'''
_ROWS = '''

def _rows(result):
    """Return rows; fail for what a table doesn't keep of them."""
    if hasattr(result, "iloc"):
        if list(result.index) != list(range(len(result))):
            raise TypeError("the result has an index, which a table doesn't keep: reset_index()")
        return result
    if not isinstance(result, list) or any(row.keys() != result[0].keys() for row in result):
        raise TypeError("the result isn't a list of rows with the same columns")
    return result
'''


def is_pure(item: Defined) -> bool:
    """Whether an asset's function computes its rows from its arguments alone."""
    function = item.function
    given = {keyword.arg for keyword in item.call.keywords} if item.call is not None else set()
    if not isinstance(function, ast.FunctionDef) or not given <= _ARGUMENTS:
        return False
    spec = function.args
    if item.call is not None and item.call.args:
        return False
    if len(function.decorator_list) != 1 or spec.vararg or spec.kwarg or spec.defaults:
        return False
    rows = [_row_type(item.file, function.returns)]
    rows += [_row_type(item.file, argument.annotation) for argument in inputs_of(item)]
    return all(rows) and _is_computed(item.file, function)


def inputs_of(item: Defined) -> list[ast.arg]:
    """Return the arguments of a function that are rows of other assets."""
    assert item.function is not None
    spec = item.function.args
    arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    return [argument for argument in arguments if argument.arg != "context"]


def _row_type(file: Definitions, node: ast.expr | None) -> str:
    """Return `frame` or `list` for an annotation of rows; empty for any other one."""
    if node is None:
        return ""
    base = node.value if isinstance(node, ast.Subscript) else node
    names = {"pandas.DataFrame": "frame", "list": "list", "typing.List": "list"}
    return names.get(file.name_of(base), "")


def _is_computed(file: Definitions, function: ast.FunctionDef) -> bool:
    parents = {
        id(child): node for node in ast.walk(function) for child in ast.iter_child_nodes(node)
    }
    inside = [node for part in function.body for node in ast.walk(part)]
    bound = {argument.arg for node in ast.walk(function) for argument in _arguments(node)}
    bound |= {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return all(_is_plain(file, node, bound, parents) for node in inside)


def _arguments(node: ast.AST) -> list[ast.arg]:
    spec = getattr(node, "args", None)
    return [*spec.posonlyargs, *spec.args] if isinstance(spec, ast.arguments) else []


def _is_plain(
    file: Definitions, node: ast.AST, bound: set[str], parents: Mapping[int, ast.AST]
) -> bool:
    if isinstance(node, ast.Attribute):
        name = node.attr
        is_file = name.startswith(("read_", "to_", "_")) and name not in _CONVERSIONS
        return not is_file and name not in _CHANGING
    if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Store):
        return not isinstance(node, _NODES)
    if node.id == "context":
        parent = parents[id(node)]
        return isinstance(parent, ast.Attribute) and parent.attr in _OF_CONTEXT
    if node.id in bound or node.id in _BUILTINS:
        return True
    return file.name_of(node).partition(".")[0] in _MODULES or _is_constant(file, node.id)


def _is_constant(file: Definitions, name: str) -> bool:
    try:
        file.value(file.constants.get(name))
    except NotKnown:
        return False
    return True


def module_text(
    item: Defined,
    fields: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    partitions: Partitions | None,
) -> str:
    """Return the Python file of an asset: its fields, its function, and the asset that calls it.

    `inputs` maps the function's arguments to assets.
    """
    function, file = item.function, item.file
    assert isinstance(function, ast.FunctionDef)
    given = ", ".join(f"{name}={value!r}" for name, value in fields.items() if value)
    uses_context = any(argument.arg == "context" for argument in _arguments(function))
    names = {argument.arg: _row_type(file, argument.annotation) for argument in inputs_of(item)}
    arguments = {name: inputs[name] for name in names}
    calls = [
        f"{name}={asset}{'.to_pylist()' if names[name] == 'list' else ''}"
        for name, asset in arguments.items()
    ]
    calls += ["context=_Context(ctx)"] if uses_context else []
    parameters = "".join(
        f", {asset}: pd.DataFrame" if names[name] == "frame" else f", {asset}"
        for name, asset in arguments.items()
    )
    body = ast.unparse(_bare(function))
    imports, constants = _imports(file, function), _constants(file, function)
    context = _CODE.replace("{dimensions}", _dimensions(partitions)) if uses_context else ""
    name = fields["name"]
    head = f'"""Dagster: {item.name} ({file.path}:{item.line})."""\n\n{imports}'
    head += f"from headrace import Context, asset\n{constants}{context}{_ROWS}\n\n{body}\n\n\n"
    called = f"{function.name}_of_dagster({', '.join(calls)})"
    return (
        f"{head}@asset({given})\ndef {name}(ctx: Context{parameters}):\n"
        f"    return _rows({called})\n"
    )


def _bare(function: ast.FunctionDef) -> ast.FunctionDef:
    """Return the function without decorator and annotations, under a name of its own."""
    spec = function.args
    arguments = [ast.arg(argument.arg) for argument in [*spec.posonlyargs, *spec.args]]
    only = [ast.arg(argument.arg) for argument in spec.kwonlyargs]
    bare = ast.arguments([], arguments, None, only, [None] * len(only), None, [])
    copied = ast.FunctionDef(f"{function.name}_of_dagster", bare, function.body, [], None)
    copied.lineno = copied.col_offset = 0
    return copied


def _loaded(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the names that a function uses, each once."""
    names = [n.id for part in function.body for n in ast.walk(part) if isinstance(n, ast.Name)]
    yield from dict.fromkeys(names)


def _imports(file: Definitions, function: ast.FunctionDef) -> str:
    lines = ["import pandas as pd\n"] if "DataFrame" in ast.unparse(function) else []
    for name in _loaded(function):
        for full in file.aliases.get(name, [])[-1:]:
            module, _, last = full.rpartition(".")
            line = (
                f"from {module} import {last} as {name}\n"
                if module
                else f"import {full} as {name}\n"
            )
            lines += [line] if line not in lines else []
    return "".join(lines)


def _constants(file: Definitions, function: ast.FunctionDef) -> str:
    used = [name for name in _loaded(function) if name in file.constants]
    return "".join(f"\n{name} = {file.value(file.constants[name])!r}\n" for name in used)


def _dimensions(partitions: Partitions | None) -> str:
    """Return the code of the key's dimensions, in the order of Dagster's key."""
    parts = (
        []
        if partitions is None
        else zip(partitions.dimensions, partitions.key_format.split("|"), strict=True)
    )
    values = (
        f"{name!r}: ctx.partition_key"
        if pattern == "{key}"
        else f"{name!r}: ctx.start.strftime({pattern!r})"
        for name, pattern in parts
    )
    return "{" + ", ".join(values) + "}"
