"""Analyses the syntax tree of assets' Python code: imports, parameters, and the normal form.

No user code is imported or run. `facts_of` is a pure function of a file's bytes, so each content is
parsed once. `headrace.plan.closure` resolves imports to files, because it knows the project's other
files.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from headrace.model.errors import Report, shown
from headrace.model.nodes import Value

# Parameters of a Python asset: the context first, then each input with the container type of its
# annotation.

_CONTAINERS = {
    "pyarrow.Table": "arrow",
    "pyarrow.lib.Table": "arrow",
    "polars.DataFrame": "polars",
    "polars.LazyFrame": "polars_lazy",
    "pandas.DataFrame": "pandas",
    "duckdb.DuckDBPyRelation": "duckdb",
}
_USUAL_ALIASES = {
    "pa": "pyarrow",
    "pl": "polars",
    "pd": "pandas",
    "duckdb": "duckdb",
    "pyarrow": "pyarrow",
    "polars": "polars",
    "pandas": "pandas",
}
"""Modules of common aliases, for files that use them without an import at the top level."""
_CONTEXTS = ("headrace.Context", "headrace.model.authoring.Context", "Context")
_ASSETS = ("headrace.asset", "headrace.model.authoring.asset")
_CONTAINERS_HINT = (
    "pa.Table (the default), pl.DataFrame, pl.LazyFrame, pd.DataFrame or duckdb.DuckDBPyRelation"
)
CONTEXT = "ctx"


class Signature(Value, kw_only=True):
    """A function's parameters without the context: their lines, defaults and container types."""

    takes_context: bool
    parameters: dict[str, int]
    defaults: tuple[str, ...]
    containers: dict[str, str]
    takes_any: bool
    """Whether the function has `**inputs`."""


class Aliases:
    """Full names of the names that a module imports."""

    def __init__(self, tree: ast.Module) -> None:
        self._names: dict[str, str] = {}
        for statement in _imports(tree):
            for alias in statement.names:
                if isinstance(statement, ast.ImportFrom):
                    self._add_member(statement, alias)
                elif alias.asname:
                    self._names[alias.asname] = alias.name
                else:
                    top = alias.name.partition(".")[0]
                    self._names[top] = top

    def _add_member(self, statement: ast.ImportFrom, alias: ast.alias) -> None:
        if statement.level != 0 or not statement.module:
            return
        self._names[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
        if alias.name == "*" and statement.module == "headrace":
            self._names |= {"asset": "headrace.asset", "Context": "headrace.Context"}

    def is_asset(self, node: ast.expr) -> bool:
        """Return whether an expression is the name of Headrace's decorator."""
        return self.resolve(node) in _ASSETS

    def is_asset_decorator(self, decorator: ast.expr) -> bool:
        """Return whether a decorator, with or without arguments, is Headrace's."""
        return self.is_asset(decorator.func if isinstance(decorator, ast.Call) else decorator)

    def resolve(self, node: ast.expr) -> str:
        """Return the full name of a dotted expression; empty for other expressions."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        first = self._names.get(node.id) or (
            _USUAL_ALIASES.get(node.id, node.id) if parts else node.id
        )
        return ".".join([first, *reversed(parts)])


def _imports(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Return imports at the top level, and one level inside `if` and `try`.

    Those are common for TYPE_CHECKING and optional packages.
    """
    results: list[ast.Import | ast.ImportFrom] = []
    for statement in tree.body:
        inner = statement.body if isinstance(statement, (ast.If, ast.Try)) else [statement]
        results.extend(node for node in inner if isinstance(node, (ast.Import, ast.ImportFrom)))
    return results


def read_signature(function: ast.FunctionDef, aliases: Aliases, report: Report) -> Signature:
    """Return the function's signature; report annotations without a known container type."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    takes_context = bool(positional) and _is_context(positional[0], aliases)
    with_default = positional[len(positional) - len(arguments.defaults) :]
    optional = [
        *with_default,
        *(
            arg
            for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        ),
    ]
    inputs = [*positional[takes_context:], *arguments.kwonlyargs]
    if arguments.posonlyargs[takes_context:]:
        line = arguments.posonlyargs[0].lineno
        report.error(
            "inputs_mismatch",
            line,
            "inputs are passed by name, and `/` forbids that",
            "take `/` out of the parameters",
        )
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
        containers={
            argument.arg: _container(argument, aliases, report)
            for argument in inputs
            if argument not in optional
        },
        takes_any=arguments.kwarg is not None,
    )


def _is_context(argument: ast.arg, aliases: Aliases) -> bool:
    if argument.arg == CONTEXT:
        return True
    return (
        argument.annotation is not None
        and aliases.resolve(_unwrapped(argument.annotation)) in _CONTEXTS
    )


def _container(argument: ast.arg, aliases: Aliases, report: Report) -> str:
    if argument.annotation is None:
        return "arrow"
    name = aliases.resolve(_unwrapped(argument.annotation))
    result = _CONTAINERS.get(name) or (
        None if name not in ("typing.Any", "Any", "object") else "arrow"
    )
    if result is None:
        report.error(
            "unknown_container",
            argument.lineno,
            f"the input {shown(argument.arg)} can't be given as {shown(name or 'that')}",
            _CONTAINERS_HINT,
        )
        return "arrow"
    return result


def _unwrapped(annotation: ast.expr) -> ast.expr:
    """Return an annotation without quotes, `… | None` and `Optional[…]`."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _unwrapped(ast.parse(annotation.value, mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return annotation
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        none_left = isinstance(annotation.left, ast.Constant) and annotation.left.value is None
        return _unwrapped(annotation.right if none_left else annotation.left)
    if (
        isinstance(annotation, ast.Subscript)
        and isinstance(annotation.value, ast.Name)
        and annotation.value.id == "Optional"
    ):
        return _unwrapped(annotation.slice)
    return annotation


# The normal form of Python code: the syntax tree without positions, comments and docstrings.
# `ast.dump` isn't used because its output differs between Python versions, and an upgrade must not
# change every asset. Empty and absent fields are omitted, so a new optional field of the syntax
# tree changes nothing.

_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IGNORED = frozenset({"kind", "type_comment", "ctx"})


def normal_form(node: ast.AST) -> str:
    """Return a text that is equal for trees that differ only in layout, comments and docstrings.

    The decorators of `node` itself are omitted, because an asset's decorator isn't its code.
    """
    parts: list[str] = []
    _write(node, parts, top=True)
    return "".join(parts)


def statements_digest(statements: Sequence[ast.stmt]) -> str:
    """Return the SHA-256 of several statements' normal form.

    It is part of each asset of a module, where the full text would be repeated.
    """
    parts: list[str] = []
    for statement in _without_docstring(statements):
        _write(statement, parts)
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def module_digest(tree: ast.Module, is_asset: Callable[[ast.expr], bool]) -> str:
    """Return the SHA-256 of a module's normal form.

    Decorators of functions with an `is_asset` decorator are omitted: they declare the asset and
    aren't code.
    """
    parts: list[str] = []
    for statement in _without_docstring(tree.body):
        decorators = getattr(statement, "decorator_list", [])
        _write(statement, parts, top=any(is_asset(decorator) for decorator in decorators))
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _write(node: ast.AST, parts: list[str], *, top: bool = False) -> None:
    parts.append(type(node).__name__)
    parts.append("(")
    for name in node._fields:
        value: Any = getattr(node, name, None)
        if _says_nothing(node, name, value, top=top):
            continue
        parts.append(name)
        parts.append("=")
        if name == "body" and isinstance(node, _DOCUMENTED):
            value = _without_docstring(value)
        _write_value(value, parts)
        parts.append(",")
    parts.append(")")


def _says_nothing(node: ast.AST, name: str, value: object, *, top: bool) -> bool:
    """Return whether to omit a field: absent values, and the decorators of the top node."""
    if name == "decorator_list":
        return top or value == []
    if isinstance(node, ast.Constant) and name == "value":
        return False
    return name in _IGNORED or value is None or value == []


def _write_value(value: object, parts: list[str]) -> None:
    if isinstance(value, ast.AST):
        _write(value, parts)
    elif isinstance(value, list):
        parts.append("[")
        for item in value:
            _write_value(item, parts)
            parts.append(",")
        parts.append("]")
    else:
        parts.append(ascii(value))


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0] if body else None
    documented = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return body[1:] if documented else body


# The imports of one Python file, and calls that run code which can't be located.

_IMPORTS_BY_NAME = frozenset({"import_module", "__import__"})
"""Functions that import a module by name; they are followed if the name is a literal."""
_UNFOLLOWABLE_CALLS = frozenset(
    {"exec", "run_path", "run_module", "spec_from_file_location", "SourceFileLoader"}
)
"""Functions that run code which no import statement names."""


class Import(Value, omit_defaults=True):
    """One imported module: `from ..a import b, c` is module `a`, level 2, names `b` and `c`.

    `whole` means all modules below it, because the name is completed at run time
    (`f"plugins.{name}"`).
    """

    module: str
    line: int
    level: int = 0
    names: tuple[str, ...] = ()
    whole: bool = False
    certain: bool = False
    """Whether it runs with the file: a statement at the top level, in no `try` or `if`."""

    @property
    def top(self) -> str:
        """The top-level module of an absolute import; empty for a relative one."""
        return "" if self.level else self.module.partition(".")[0]


class Unfollowed(Value):
    """A line with code that can't be located without running the file; `what` is its text."""

    line: int
    what: str


class ModuleFacts(Value, omit_defaults=True):
    """Facts about a Python file's code. `digest` ignores comments, docstrings and layout."""

    digest: str
    imports: tuple[Import, ...] = ()
    unfollowed: tuple[Unfollowed, ...] = ()
    moves_path: bool = False
    """Whether it uses `sys.path`, so that modules may be imported from any folder."""
    exports: tuple[str, ...] | None = None
    """The literal `__all__`; None if absent or computed."""


def facts_of(data: bytes) -> ModuleFacts:
    """Return the facts of a Python file.

    If it can't be parsed, the digest is of its bytes, and the error is in `unfollowed`.
    """
    try:
        return facts_of_tree(parse_python(data))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "it is nested too deep"
        line = getattr(error, "lineno", None) or 1
        unfollowed = Unfollowed(line=line, what=f"it isn't Python: {reason}")
        return ModuleFacts(digest=hashlib.sha256(data).hexdigest(), unfollowed=(unfollowed,))


def parse_python(text: str | bytes) -> ast.Module:
    """Parse Python code, without Python's warnings about escapes in user code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def facts_of_tree(tree: ast.Module) -> ModuleFacts:  # complexipy: ignore (a case per kind of node)
    """Return the facts of a parsed file. Raises RecursionError if it is nested too deeply."""
    aliases = Aliases(tree)
    renamed = {"import_module": "import_module"} | _renamed(tree)
    imports: list[Import] = []
    unfollowed: list[Unfollowed] = []
    called: set[int] = set()
    moves_path = False
    certain = {id(statement) for statement in tree.body}
    for node in _running(tree):
        match node:
            case ast.Import(names=names):
                imports += [
                    Import(module=name.name, line=node.lineno, certain=id(node) in certain)
                    for name in names
                ]
            case ast.ImportFrom(module=module, names=names, level=level):
                imported_names = tuple(name.name for name in names)
                imports.append(
                    Import(
                        module=module or "",
                        line=node.lineno,
                        level=level,
                        names=imported_names,
                        certain=id(node) in certain,
                    )
                )
            case ast.Call(func=function) if (name := _name_of(function, renamed)) is not None:
                called.add(id(function))
                result = _imported_by(node) if name in _IMPORTS_BY_NAME else None
                imports += [result] if result is not None else []
                if result is None:
                    unfollowed.append(Unfollowed(line=node.lineno, what=f"`{name}(…)`"))
            case ast.Name() | ast.Attribute() if id(node) not in called:
                if (name := _name_of(node, renamed)) is not None and name in _IMPORTS_BY_NAME:
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
    """Yield all nodes that may run, parents first; it skips the body of `if TYPE_CHECKING`."""
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
    """Return aliases of functions that run other code, as in `import import_module as load`."""
    results = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            for name in node.names:
                if name.name in _IMPORTS_BY_NAME | _UNFOLLOWABLE_CALLS and name.asname:
                    results[name.asname] = name.name
    return results


def _name_of(function: ast.expr, renamed: dict[str, str]) -> str | None:
    """Return the name of a function that runs other code; None for other expressions."""
    if isinstance(function, ast.Name):
        name = renamed.get(function.id, function.id)
    elif isinstance(function, ast.Attribute):
        name = (
            "" if function.attr == "exec" else function.attr
        )  # methods named `exec` aren't Python's exec
    else:
        return None
    return name if name in _IMPORTS_BY_NAME or name in _UNFOLLOWABLE_CALLS else None


def _imported_by(call: ast.Call) -> Import | None:
    """Return the import of `import_module("a.b")` or `import_module(".b", "a")`.

    Returns None if the name doesn't start with a literal.
    """
    if not call.args:
        return None
    name, whole = _literal_start(call.args[0])
    dots = len(name) - len(name.lstrip("."))
    if dots and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
        package = str(call.args[1].value)
        name, dots = (
            ".".join([*package.split(".")[: len(package.split(".")) - dots + 1], name[dots:]]),
            0,
        )
    name = (
        name[: name.rfind(".") + 1].rstrip(".") if whole else name[dots:]
    )  # its last part is incomplete
    if not name.strip("."):
        return None
    return Import(module=name.lstrip("."), line=call.lineno, level=dots, whole=whole)


def _literal_start(node: ast.expr) -> tuple[str, bool]:
    """Return the literal start of an expression, and whether text is added at run time."""
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
    """Return the texts of `__all__`; None without it, or if it isn't a list of texts."""
    for statement in tree.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id="__all__")], value=ast.List(elts=items) | ast.Tuple(elts=items)
            ):
                return _texts(items)
    return None


def _texts(items: list[ast.expr]) -> tuple[str, ...] | None:
    values = [item.value for item in items if isinstance(item, ast.Constant)]
    texts = tuple(value for value in values if isinstance(value, str))
    return texts if len(texts) == len(items) else None


# The script among the arguments of a command asset.

_SCRIPT_ENDINGS = (
    ".py", ".sh", ".bash", ".js", ".mjs", ".ts", ".rb", ".pl", ".php", ".r", ".R", ".jl", ".jar",
    ".dll", ".ps1", ".sql", ".ipynb", ".lua",
)  # fmt: skip
_CODE_OPTIONS = ("-c", "-e", "-m", "--eval", "--command")
"""Options followed by code or a module's name; no later argument is a script of the project."""


def script_of(command: Sequence[str]) -> str | None:
    """Return the first argument with a script's ending; None for a command without one.

    The path is relative to the project or absolute.
    """
    for argument in command[1:]:
        if argument in _CODE_OPTIONS:
            return None
        if not argument.startswith("-") and argument.endswith(_SCRIPT_ENDINGS):
            return argument
    return None
