"""What one Python file says of the code it uses, found in its syntax tree: nothing of the user's is imported or run.

`facts_of` is a pure function of the file's bytes, so that a file is parsed once for each content. Which files the
imports mean is the subject of `headrace.plan.closure`, which knows what else there is in the project.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator

from headrace.model.nodes import Value
from headrace.model.normal_form import module_digest
from headrace.model.signatures import Aliases

_BY_NAME = frozenset({"import_module", "__import__"})
"""Functions that import a module of a given name: followed where the name is a literal."""
_NEVER = frozenset({"exec", "run_path", "run_module", "spec_from_file_location", "SourceFileLoader"})
"""Calls that run code which no import statement names."""


class Import(Value, omit_defaults=True):
    """One imported module: `from ..a import b, c` is module `a`, level 2, names `b` and `c`.

    `whole` asks for all modules below it: its name was completed while the code ran (`f"plugins.{name}"`).
    """

    module: str
    line: int
    level: int = 0
    names: tuple[str, ...] = ()
    whole: bool = False


class Unfollowed(Value):
    """A line that runs code which can't be found without running the file, and what stands there."""

    line: int
    what: str


class ModuleFacts(Value, omit_defaults=True):
    """What a Python file uses. `digest` is of its syntax tree: comments, docstrings and layout don't count."""

    digest: str
    imports: tuple[Import, ...] = ()
    unfollowed: tuple[Unfollowed, ...] = ()
    moves_path: bool = False
    """Whether it changes `sys.path`, so that a module may be imported from any folder."""
    exports: tuple[str, ...] | None = None
    """The literal `__all__`; None where there is none, or where it is computed."""


def facts_of(data: bytes) -> ModuleFacts:
    """The facts of a Python file. Of one that can't be parsed: its bytes, and that it can't be followed."""
    try:
        tree = parse(data)
        return facts_of_tree(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "it is nested too deep"
        line = getattr(error, "lineno", None) or 1
        unfollowed = Unfollowed(line=line, what=f"it isn't Python: {reason}")
        return ModuleFacts(digest=hashlib.sha256(data).hexdigest(), unfollowed=(unfollowed,))


def parse(text: str | bytes) -> ast.Module:
    """The syntax tree, without Python's warnings about escapes in the user's texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def facts_of_tree(tree: ast.Module) -> ModuleFacts:
    """The facts of a file that is parsed already. RecursionError where an expression is nested too deep."""
    aliases = Aliases(tree)
    renamed = {"import_module": "import_module"} | _renamed(tree)
    imports: list[Import] = []
    unfollowed: list[Unfollowed] = []
    called: set[int] = set()
    moves_path = False
    for node in _running(tree):
        match node:
            case ast.Import(names=names):
                imports += [Import(module=name.name, line=node.lineno) for name in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                taken = tuple(name.name for name in names)
                imports.append(Import(module=module or "", line=node.lineno, level=level, names=taken))
            case ast.Call(func=function) if (name := _name_of(function, renamed)) is not None:
                called.add(id(function))
                result = _imported_by(node) if name in _BY_NAME else None
                imports += [result] if result is not None else []
                if result is None:
                    unfollowed.append(Unfollowed(line=node.lineno, what=f"`{name}(…)`"))
            case ast.Name() | ast.Attribute() if id(node) not in called:
                if (name := _name_of(node, renamed)) is not None and name in _BY_NAME:
                    unfollowed.append(Unfollowed(line=node.lineno, what=f"`{name}`"))
                moves_path = moves_path or aliases.resolve(node) == "sys.path"
    return ModuleFacts(
        digest=module_digest(tree, aliases.is_asset_decorator),
        imports=tuple(imports),
        unfollowed=tuple(unfollowed),
        moves_path=moves_path,
        exports=_exports(tree),
    )


def _running(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes that may run, parents before their children: not what stands under `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting.extend(reversed(node.orelse))
        else:
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _renamed(tree: ast.Module) -> dict[str, str]:
    """Names that stand for functions which run other code: `from importlib import import_module as load`."""
    results = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            for name in node.names:
                if name.name in _BY_NAME | _NEVER and name.asname:
                    results[name.asname] = name.name
    return results


def _name_of(function: ast.expr, renamed: dict[str, str]) -> str | None:
    """The name of a function that runs other code, None for any other expression."""
    if isinstance(function, ast.Name):
        name = renamed.get(function.id, function.id)
    elif isinstance(function, ast.Attribute):
        name = "" if function.attr == "exec" else function.attr  # a method that is called `exec` isn't Python's
    else:
        return None
    return name if name in _BY_NAME or name in _NEVER else None


def _imported_by(call: ast.Call) -> Import | None:
    """What `import_module("a.b")` or `import_module(".b", "a")` imports; None where its name isn't a literal."""
    if not call.args:
        return None
    name, whole = _literal_start(call.args[0])
    dots = len(name) - len(name.lstrip("."))
    if dots and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
        package = str(call.args[1].value)
        name, dots = ".".join([*package.split(".")[: len(package.split(".")) - dots + 1], name[dots:]]), 0
    name = name[: name.rfind(".") + 1].rstrip(".") if whole else name[dots:]  # its last part is incomplete
    if not name.strip("."):
        return None
    return Import(module=name.lstrip("."), line=call.lineno, level=dots, whole=whole)


def _literal_start(node: ast.expr) -> tuple[str, bool]:
    """The text that an expression begins with, and whether something is added to it while it runs."""
    match node:
        case ast.Constant(value=str() as text):
            return text, False
        case ast.JoinedStr(values=[ast.Constant(value=str() as text), *_]):
            return text, True
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod()):
            text = _literal_start(left)[0]
            return text.partition("%")[0] if isinstance(node.op, ast.Mod) else text, True
        case _:
            return "", True


def _exports(tree: ast.Module) -> tuple[str, ...] | None:
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=items) | ast.Tuple(elts=items)):
                values = [item.value for item in items if isinstance(item, ast.Constant)]
                texts = tuple(value for value in values if isinstance(value, str))
                return texts if len(texts) == len(items) else None
    return None
