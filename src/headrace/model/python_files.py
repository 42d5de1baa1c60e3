"""`assets/**/*.py`: functions with `@asset`, found in the syntax tree. Nothing of the user's is imported or run."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from headrace.model.assets import FIELDS, read_asset
from headrace.model.documents import LocatedMapping
from headrace.model.fields import Fields
from headrace.model.literals import NotLiteral, literal
from headrace.model.modules import ModuleFacts, facts_of_tree, parse
from headrace.model.nodes import Asset, InputSpec, PythonBody
from headrace.model.normal_form import digest, normal_form
from headrace.model.reporting import Report, did_you_mean, shown
from headrace.model.signatures import Aliases, Signature, read_signature

_NESTED = re.compile(r"^[ \t]+@", re.MULTILINE)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_module(text: str, report: Report) -> tuple[tuple[Asset, ...], ModuleFacts | None]:
    """All assets of a module, and what it uses; nothing if it isn't Python, and then `report` says why."""
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        said = getattr(error, "msg", None) or "it is nested too deep"
        report.error("python_syntax", line, f"this isn't Python: {said}", "headrace reads it with the Python that runs headrace")
        return (), None
    try:
        return tuple(_assets(tree, text, report)), facts_of_tree(tree)
    except RecursionError:
        report.error("python_syntax", 1, "an expression is nested too deep", "split it into several statements")
        return (), None


def _assets(tree: ast.Module, text: str, report: Report) -> Iterator[Asset]:
    aliases = Aliases(tree)
    decorated: dict[int, ast.expr] = {}
    for index, statement in enumerate(tree.body):
        if isinstance(statement, Function) and (decorator := _decorator(statement, aliases)) is not None:
            decorated[index] = decorator
    if _NESTED.search(text):
        _report_nested(tree, aliases, report)
    if not decorated:
        _report_other_tools(tree, aliases, report)
        return
    others = [statement for index, statement in enumerate(tree.body) if index not in decorated]
    functions = {item.name: item for index in decorated if isinstance(item := tree.body[index], Function)}
    rest, always = digest(others), _named(others, functions)
    for index, decorator in decorated.items():
        function = tree.body[index]
        assert isinstance(function, Function)
        code = "\n".join([normal_form(function), rest, *_called(function, functions, always)])
        asset = _asset(function, decorator, aliases, code, report)
        if asset is not None:
            yield asset


def _called(function: Function, functions: Mapping[str, Function], always: Collection[str]) -> list[str]:
    """The normal forms of other assets' functions that this one calls, itself or through one of them, by name."""
    results: dict[str, Function] = {}
    waiting = {*always, *_named([function], functions)} - {function.name}
    while waiting:
        name = waiting.pop()
        results[name] = functions[name]
        waiting |= _named([functions[name]], functions) - {function.name} - results.keys()
    return [normal_form(results[name]) for name in sorted(results)]


def _named(statements: Sequence[ast.stmt], functions: Collection[str]) -> set[str]:
    """The functions whose names are used anywhere in these statements."""
    nodes = (node for statement in statements for node in ast.walk(statement))
    return {node.id for node in nodes if isinstance(node, ast.Name) and node.id in functions}


def _decorator(function: Function, aliases: Aliases) -> ast.expr | None:
    """The decorator that makes a function an asset, if one does."""
    return next((item for item in function.decorator_list if aliases.is_asset_decorator(item)), None)


def _report_other_tools(tree: ast.Module, aliases: Aliases, report: Report) -> None:
    """Assets, tasks and models of other tools in a module that declares none of Headrace's: nothing would run them."""
    for statement in tree.body:
        if not isinstance(statement, Function):
            continue
        names = [aliases.resolve(item.func if isinstance(item, ast.Call) else item) for item in statement.decorator_list]
        what = shown(statement.name)
        if any(name.rpartition(".")[2] == "asset" for name in names):
            message = f"`@asset` of {what} isn't Headrace's"
            report.error("asset_not_found", statement.lineno, message, "write `from headrace import asset, Context`")
        elif any(name.startswith(("airflow.", "dagster.", "prefect.")) for name in names):
            message = f"{what} is declared for another tool, and nothing here runs it"
            hint = "write `from headrace import asset`, @asset(owner=…, partition=…, inputs=[…]), and return a table"
            report.warning("asset_not_found", statement.lineno, message, hint)
        elif statement.name == "model" and [argument.arg for argument in statement.args.args[:1]] == ["dbt"]:
            message = "this is a Python model of dbt, and nothing here runs it"
            hint = "write @asset(owner=…, inputs=[…]); each input is an argument, and the result is returned"
            report.warning("asset_not_found", statement.lineno, message, hint)


def _report_nested(tree: ast.Module, aliases: Aliases, report: Report) -> None:
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, Function) and node is not statement and _decorator(node, aliases) is not None:
                message = f"the asset {shown(node.name)} isn't at the top level of the module"
                report.error("asset_not_found", node.lineno, message, "move it out of the class, function or `if` that it stands in")


def _asset(function: Function, decorator: ast.expr, aliases: Aliases, code: str, report: Report) -> Asset | None:
    if isinstance(function, ast.AsyncFunctionDef):
        report.error("asset_not_found", function.lineno, f"the asset {shown(function.name)} is `async`", "write `def`")
        return None
    block = _arguments(decorator, report)
    if block is None:
        return None
    fields = Fields(block, report, FIELDS, what=f"the asset {shown(function.name)}")
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


def _arguments(decorator: ast.expr, report: Report) -> LocatedMapping | None:
    """The decorator's arguments, which have to be literals; None if they aren't."""
    block = LocatedMapping(decorator.lineno)
    if not isinstance(decorator, ast.Call):
        return block
    if decorator.args:
        report.error("not_a_literal", decorator.lineno, "`@asset` takes no positional arguments", 'write @asset(owner="…")')
        return None
    usable = True
    for keyword in decorator.keywords:
        if keyword.arg is None:
            report.error("not_a_literal", keyword.value.lineno, "`@asset(**…)` can't be read without running it", "write each argument out")
            usable = False
            continue
        try:
            block.put(keyword.arg, literal(keyword.value), keyword.value.lineno)
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
    """Without `inputs`, the parameters name them."""
    names = signature.parameters.items()
    inputs = tuple(InputSpec(node=name, place=report.place(line)) for name, line in names if name not in signature.defaults)
    return msgspec.structs.replace(asset, inputs=inputs)


def _match(asset: Asset, signature: Signature, report: Report) -> None:
    """Parameters and inputs have to be the same names."""
    inputs = {spec.node: spec for spec in asset.inputs}
    for name, line in signature.parameters.items():
        if name not in inputs and name not in signature.defaults:
            missing = [node for node in inputs if node not in signature.parameters]
            hint = did_you_mean(name, missing) or (f"call it `{missing[0]}`" if len(missing) == 1 else "add it to `inputs`, or take it out")
            if name in ("context", "_ctx"):
                hint = "call it `ctx`, or annotate it with `Context`"
            report.error("inputs_mismatch", line, f"the parameter {shown(name)} of {shown(asset.name)} isn't one of its inputs", hint)
    for node, spec in inputs.items():
        if node not in signature.parameters and not signature.takes_any:
            report.error(
                "inputs_mismatch",
                spec.place.line,
                f"{shown(asset.name)} has no parameter for its input {shown(node)}",
                f"add the parameter `{node}`",
            )
