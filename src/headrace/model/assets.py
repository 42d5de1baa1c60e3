"""Reads the fields of an asset, and Python files with `@asset`.

An asset has the same fields in a front matter, a YAML file and a decorator. Python files are read
from their syntax tree: no user code is imported or run.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.model.asset_fields import ASSET, ASSET_FIELDS, reads_and_writes
from headrace.model.checks import (
    read_accumulation,
)
from headrace.model.common_fields import read_fields
from headrace.model.declassification import check_thresholds
from headrace.model.errors import Report, did_you_mean, shown
from headrace.model.fields import (
    BIGINT_BEYOND,
    Fields,
    Items,
    LocatedMapping,
    check_node,
    kind_of,
)
from headrace.model.for_each import instances
from headrace.model.masks import COLUMN_FIELDS, read_column_classes
from headrace.model.nodes import (
    Asset,
    Body,
    CommandBody,
    InputFormat,
    InputSpec,
    PythonBody,
)
from headrace.model.python_code import (
    Aliases,
    ModuleFacts,
    Signature,
    facts_of_tree,
    normal_form,
    parse_python,
    read_signature,
    statements_digest,
)
from headrace.model.secrets import (
    check_environment,
)

# The fields of an asset, in any kind of file.

ARGUMENTS_MAX = 1_000
ARGUMENT_CHARACTERS_MAX = 32_000


def read_asset(fields: Fields, name: str, name_line: int, body: Body, line: int) -> Asset | None:
    """Return the asset; None, with a reported problem, if its name is invalid or it has no owner.

    The field `name` overrides the argument `name`. `line` is the line of the declaration.
    """
    if "name" in fields:
        name, name_line = fields.text("name") or name, fields.line("name")
    named = check_node(name, name_line, fields.report, "asset")
    parts = read_fields(fields, ASSET)
    if "columns" in fields:
        block = reads_and_writes(fields)
        where = (fields, "columns") if block is None else (block, "writes")
        parts["classified"] = read_column_classes(where[0], (*COLUMN_FIELDS, "type"), where[1])
    parts |= read_accumulation(fields, parts.get("materialize", "table"))
    check_environment(fields, body)
    check_thresholds(fields, body)
    if not named or "owner" not in parts:
        return None
    return Asset(name=name, body=body, place=fields.place(line), **parts)


def read_command(fields: Fields, file: str) -> CommandBody | None:
    """Return the fields `command` (program and arguments, as no shell is used) and
    `input_format`.
    """
    written = fields.raw("command")
    line = fields.line("command")
    if isinstance(written, str):
        fields.refuse(
            "command",
            "`command` is one text; it isn't run through a shell",
            'write a list: ["program", "argument"]',
            code="wrong_type",
        )
        return None
    if not isinstance(written, list) or not written:
        fields.wrong("command", "a list of texts", 'write ["program", "argument"]')
        return None
    for index, argument in enumerate(written):
        at = written.lines[index] if isinstance(written, Items) else line
        if not isinstance(argument, str) or "\0" in argument:
            fields.report.error(
                "wrong_type",
                at,
                f"an argument of `command` must be text, not {kind_of(argument)}",
                "put numbers in quotes",
            )
            return None
    if (
        not written[0].strip()
        or len(written) > ARGUMENTS_MAX
        or max(map(len, written)) > ARGUMENT_CHARACTERS_MAX
    ):
        fields.refuse(
            "command",
            "`command` names no program, or is too long",
            f"at most {ARGUMENTS_MAX:,} arguments",
        )
        return None
    formats = tuple(InputFormat)
    chosen = InputFormat(fields.choice("input_format", formats, InputFormat.PARQUET))
    return CommandBody(command=tuple(written), file=file, line=line, input_format=chosen)


def name_of_file(report: Report) -> str:
    """Return the default name of an asset: its file's name up to the first dot."""
    return report.file.rpartition("/")[2].partition(".")[0]


# Literals of the syntax tree as declared values with line numbers.

LITERAL_DEPTH_MAX = 20


class NotLiteral(Exception):
    """An expression isn't a literal: its value is only known by running it."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def literal(node: ast.expr, constants: Mapping[str, Any] = {}, depth: int = 0) -> Any:
    """Return the value of a literal. Raises NotLiteral for other expressions.

    Literals are texts, numbers, booleans, None, and lists, tuples and dicts of those, and the
    names of `constants`.
    """
    if depth > LITERAL_DEPTH_MAX:
        raise NotLiteral("it is nested too deep", node.lineno)
    match node:
        case ast.Name() if node.id in constants:
            return _constant(constants[node.id], node.lineno)
        case ast.Constant():
            return _constant(node.value, node.lineno)
        case ast.List() | ast.Tuple():
            items = Items(node.lineno)
            for element in node.elts:
                items.put(literal(element, constants, depth + 1), element.lineno)
            return items
        case ast.Dict():
            return _mapping(node, constants, depth)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if (
            not isinstance(number, bool)
        ):
            return _constant(-number, node.lineno)
        case _:
            raise NotLiteral(f"{_shortened(node)} would have to be run", node.lineno)


def _constant(value: object, line: int) -> Any:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
            raise NotLiteral("the text holds characters that can't be kept", line)
        return value
    if isinstance(value, int) and not -BIGINT_BEYOND <= value < BIGINT_BEYOND:
        raise NotLiteral("the number has more than 64 bits", line)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise NotLiteral("texts, numbers, lists and dicts can be declared", line)


def _mapping(node: ast.Dict, constants: Mapping[str, Any], depth: int) -> LocatedMapping:
    block = LocatedMapping(node.lineno)
    for key, value in zip(node.keys, node.values, strict=True):
        name = _constant(key.value, key.lineno) if isinstance(key, ast.Constant) else None
        if key is None or not isinstance(name, str):
            raise NotLiteral("a key must be a text", value.lineno)
        if name in block:
            raise NotLiteral(f"the key {shown(name)} is here twice", key.lineno)
        block.put(name, literal(value, constants, depth + 1), key.lineno)
    return block


def _shortened(node: ast.expr) -> str:
    try:
        return shown(" ".join(ast.unparse(node).split()))
    except RecursionError:
        return "this"


# `assets/**/*.py`: functions with `@asset`.

_NESTED = re.compile(r"^[ \t]+@", re.MULTILINE)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_module(text: str, report: Report) -> tuple[tuple[Asset, ...], ModuleFacts | None]:
    """Return all assets of a module, and the facts about its code.

    If it isn't valid Python, the problem is reported and the result is `((), None)`.
    """
    try:
        tree = parse_python(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        reason = getattr(error, "msg", None) or "it is nested too deep"
        report.error(
            "python_syntax",
            line,
            f"this isn't Python: {reason}",
            "headrace reads it with the Python that runs headrace",
        )
        return (), None
    try:
        return tuple(_assets(tree, text, report)), facts_of_tree(tree)
    except RecursionError:
        report.error(
            "python_syntax",
            1,
            "an expression is nested too deep",
            "split it into several statements",
        )
        return (), None


def _assets(tree: ast.Module, text: str, report: Report) -> Iterator[Asset]:
    aliases = Aliases(tree)
    decorated = _decorated(tree, aliases)
    if _NESTED.search(text):
        _report_nested(tree, aliases, report)
    if not decorated:
        _report_other_tools(tree, aliases, report)
        return
    others = [statement for index, statement in enumerate(tree.body) if index not in decorated]
    functions = {
        item.name: item for index in decorated if isinstance(item := tree.body[index], Function)
    }
    rest, always = statements_digest(others), _named(others, functions)
    constants = _constants(tree)
    for index, decorator in decorated.items():
        function = tree.body[index]
        assert isinstance(function, Function)
        code = "\n".join(
            [normal_form(function), rest, *_called_assets(function, functions, always)]
        )
        for block in _blocks(decorator, constants, report):
            if asset := _asset(function, block, aliases, code, report):
                yield asset


def _called_assets(
    function: Function, functions: Mapping[str, Function], always: Collection[str]
) -> list[str]:
    """Return the normal forms of other assets' functions that this one uses, directly or not.

    They are sorted by name.
    """
    results: dict[str, Function] = {}
    waiting = {*always, *_named([function], functions)} - {function.name}
    while waiting:
        name = waiting.pop()
        results[name] = functions[name]
        waiting |= _named([functions[name]], functions) - {function.name} - results.keys()
    return [normal_form(results[name]) for name in sorted(results)]


def _named(statements: Sequence[ast.stmt], functions: Collection[str]) -> set[str]:
    """Return the functions whose names appear in these statements."""
    nodes = (node for statement in statements for node in ast.walk(statement))
    return {node.id for node in nodes if isinstance(node, ast.Name) and node.id in functions}


def _decorated(tree: ast.Module, aliases: Aliases) -> dict[int, ast.expr]:
    """Return the `@asset` decorators by the index of the function's statement."""
    decorators = {}
    for index, statement in enumerate(tree.body):
        decorator = _decorator(statement, aliases) if isinstance(statement, Function) else None
        if decorator is not None:
            decorators[index] = decorator
    return decorators


def _decorator(function: Function, aliases: Aliases) -> ast.expr | None:
    """Return the function's `@asset` decorator, if it has one."""
    return next(
        (item for item in function.decorator_list if aliases.is_asset_decorator(item)), None
    )


def _report_other_tools(tree: ast.Module, aliases: Aliases, report: Report) -> None:
    """Report assets, tasks and models of other tools in a module without Headrace assets.

    Headrace wouldn't run them.
    """
    for statement in tree.body:
        if isinstance(statement, Function):
            _report_other_tool(statement, aliases, report)


def _report_other_tool(
    function: ast.FunctionDef | ast.AsyncFunctionDef, aliases: Aliases, report: Report
) -> None:
    names = [
        aliases.resolve(item.func if isinstance(item, ast.Call) else item)
        for item in function.decorator_list
    ]
    first_parameter = [argument.arg for argument in function.args.args[:1]]
    what = shown(function.name)
    if any(name.rpartition(".")[2] == "asset" for name in names):
        report.error(
            "asset_not_found",
            function.lineno,
            f"`@asset` of {what} isn't Headrace's",
            "write `from headrace import asset, Context`",
        )
    elif any(name.startswith(("airflow.", "dagster.", "prefect.")) for name in names):
        report.warning(
            "asset_not_found",
            function.lineno,
            f"{what} is declared for another tool, and nothing here runs it",
            "write `from headrace import asset`, @asset(owner=…, partition=…, inputs=[…]), and"
            " return a table",
        )
    elif function.name == "model" and first_parameter == ["dbt"]:
        report.warning(
            "asset_not_found",
            function.lineno,
            "this is a Python model of dbt, and nothing here runs it",
            "write @asset(owner=…, inputs=[…]); each input is an argument, and the result is"
            " returned",
        )


def _report_nested(tree: ast.Module, aliases: Aliases, report: Report) -> None:
    for statement in tree.body:
        for node in ast.walk(statement):
            if (
                isinstance(node, Function)
                and node is not statement
                and _decorator(node, aliases) is not None
            ):
                message = f"the asset {shown(node.name)} isn't at the top level of the module"
                report.error(
                    "asset_not_found",
                    node.lineno,
                    message,
                    "move it out of the class, function or `if` that it is in",
                )


def _asset(
    function: Function, block: LocatedMapping, aliases: Aliases, code: str, report: Report
) -> Asset | None:
    if isinstance(function, ast.AsyncFunctionDef):
        report.error(
            "asset_not_found",
            function.lineno,
            f"the asset {shown(function.name)} is `async`",
            "write `def`",
        )
        return None
    fields = Fields(block, report, ASSET_FIELDS, what=f"the asset {shown(function.name)}")
    signature = read_signature(function, aliases, report)
    body = PythonBody(
        file=report.file,
        function=function.name,
        line=function.lineno,
        takes_context=signature.takes_context,
        annotations=signature.containers,
        source=code,
    )
    asset = read_asset(fields, function.name, function.lineno, body, function.lineno)
    if asset is None:
        return None
    if "inputs" not in fields:
        return _with_inputs(asset, signature, report)
    _match(asset, signature, report)
    return asset


def _blocks(
    decorator: ast.expr, constants: Mapping[str, Any], report: Report
) -> Iterator[LocatedMapping]:
    """Yield the decorator's arguments, or those of each of its `for_each`."""
    block = _arguments(decorator, constants, report)
    if block is not None:
        yield from (instance.block for instance in instances(block, report))


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the texts and numbers that the module assigns to a name once, at its top."""
    stored = Counter(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )
    return {
        target.id: statement.value.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name) and stored[target.id] == 1
    }


def _arguments(
    decorator: ast.expr, constants: Mapping[str, Any], report: Report
) -> LocatedMapping | None:
    """Return the decorator's arguments; None, with a reported problem, if one isn't a literal."""
    block = LocatedMapping(decorator.lineno)
    if not isinstance(decorator, ast.Call):
        return block
    if decorator.args:
        report.error(
            "not_a_literal",
            decorator.lineno,
            "`@asset` takes no positional arguments",
            'write @asset(owner="…")',
        )
        return None
    usable = True
    for keyword in decorator.keywords:
        if keyword.arg is None:
            report.error(
                "not_a_literal",
                keyword.value.lineno,
                "`@asset(**…)` can't be read without running it",
                "write each argument out",
            )
            usable = False
            continue
        try:
            block.put(keyword.arg, literal(keyword.value, constants), keyword.value.lineno)
        except NotLiteral as error:
            report.error(
                "not_a_literal",
                error.line,
                f"{shown(keyword.arg)} isn't a literal: {error}",
                "assets are found without running the file: write the value itself",
            )
            usable = False
    return block if usable else None


def _with_inputs(asset: Asset, signature: Signature, report: Report) -> Asset:
    """Return the asset with its parameters as inputs, because it has no field `inputs`."""
    names = signature.parameters.items()
    inputs = tuple(
        InputSpec(node=name, place=report.place(line))
        for name, line in names
        if name not in signature.defaults
    )
    return msgspec.structs.replace(asset, inputs=inputs)


def _match(asset: Asset, signature: Signature, report: Report) -> None:
    """Report parameters and inputs whose names don't match."""
    inputs = {spec.node: spec for spec in asset.inputs}
    missing = [node for node in inputs if node not in signature.parameters]
    for name, line in signature.parameters.items():
        if name not in inputs and name not in signature.defaults:
            report.error(
                "inputs_mismatch",
                line,
                f"the parameter {shown(name)} of {shown(asset.name)} isn't one of its inputs",
                _parameter_hint(name, missing),
            )
    for node, spec in inputs.items():
        if node not in signature.parameters and not signature.takes_any:
            report.error(
                "inputs_mismatch",
                spec.place.line,
                f"{shown(asset.name)} has no parameter for its input {shown(node)}",
                f"add the parameter `{node}`",
            )


def _parameter_hint(name: str, missing: list[str]) -> str:
    if name in ("context", "_ctx"):
        return "call it `ctx`, or annotate it with `Context`"
    if similar := did_you_mean(name, missing):
        return similar
    if len(missing) == 1:
        return f"call it `{missing[0]}`"
    return "add it to `inputs`, or take it out"
