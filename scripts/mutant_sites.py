"""Which changes a mutant may be: found in a syntax tree, written into the text.

What no test can or should notice stays as it is: docstrings and other texts, annotations,
decorators and class arguments, `__repr__`, logging, `assert` statements, `assert_never`, and
imports for type checkers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[str, dict[str, str]]] = {
    ast.Lt: ("<", {"boundary": "<=", "negated": ">="}),
    ast.LtE: ("<=", {"boundary": "<", "negated": ">"}),
    ast.Gt: (">", {"boundary": ">=", "negated": "<="}),
    ast.GtE: (">=", {"boundary": ">", "negated": "<"}),
    ast.Eq: ("==", {"negated": "!="}),
    ast.NotEq: ("!=", {"negated": "=="}),
    ast.Is: (r"\bis\b", {"negated": "is not"}),
    ast.IsNot: (r"\bis\s+not\b", {"negated": "is"}),
    ast.In: (r"\bin\b", {"negated": "not in"}),
    ast.NotIn: (r"\bnot\s+in\b", {"negated": "in"}),
}
"""Operator → its text as a pattern, and what replaces it."""
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: (r"\*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
}
"""Division isn't here: most of it joins paths."""
NOT_DROPPED = re.compile(r"\b(log|logger|logging|_log|_logger|assert_never)\b")


@dataclass(frozen=True)
class Mutant:
    """One change of one file: bytes `start` to `end` are replaced."""

    path: str
    line: int
    column: int
    operator: str
    scope: str
    """The function or class around it, or nothing."""
    start: int
    end: int
    replacement: str

    @property
    def name(self) -> str:
        """What `--again` repeats it by."""
        return f"{self.path}:{self.line}:{self.column}:{self.operator}"

    @property
    def package(self) -> str:
        """The package of its file."""
        return self.path.split("/")[2]

    def applied(self, content: bytes) -> bytes:
        """The file with this change."""
        return content[: self.start] + self.replacement.encode() + content[self.end :]


def mutants_of(path: str, content: bytes) -> Iterator[Mutant]:
    """All mutants of a file."""
    for place in places_of(path, content):
        yield from place


def places_of(path: str, content: bytes) -> list[list[Mutant]]:
    """The mutants of a file, those of one place together."""
    finder = _Finder(path, content)
    finder.visit(ast.parse(content))
    return finder.places


class _Finder(ast.NodeVisitor):
    """Collects the places of a file."""

    def __init__(self, path: str, content: bytes) -> None:
        self.places: list[list[Mutant]] = []
        self._path, self._content = path, content
        self._line_starts = [0]
        for line in content.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))
        self._scopes: list[str] = []
        self._predicate = False

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._line_starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        return self._line_starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def _add(self, start: int, end: int, replacements: dict[str, str]) -> None:
        line = self._content.count(b"\n", 0, start) + 1
        column = start - self._line_starts[line - 1]
        scope = self._scopes[-1] if self._scopes else ""
        place = (start, end)
        self.places.append(
            [
                Mutant(self._path, line, column, operator, scope, *place, text)
                for operator, text in replacements.items()
            ]
        )

    def _replace(self, node: ast.expr | ast.stmt, **replacements: str) -> None:
        named = {name.replace("_", "-"): text for name, text in replacements.items()}
        self._add(self._start(node), self._end(node), named)

    def _replace_between(
        self, left: ast.expr, right: ast.expr, pattern: str, replacements: dict[str, str]
    ) -> None:
        """Replace the operator between two operands, beside parentheses and line ends."""
        start, end = self._end(left), self._start(right)
        if found := re.search(pattern.encode(), self._content[start:end]):
            self._add(start + found.start(), start + found.end(), replacements)

    # What is looked through, and what isn't

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name == "__repr__":
            return
        outer, self._predicate = (
            self._predicate,
            isinstance(node.returns, ast.Name) and node.returns.id == "bool",
        )
        self._scopes.append(node.name)
        for child in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(child)
        self._scopes.pop()
        self._predicate = outer

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 (the name that ast calls)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._scopes.append(node.name)
        for child in node.body:
            self.visit(child)
        self._scopes.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Python 3.11 doesn't know where the parts of an f-string are."""

    # Mutants

    def visit_Compare(self, node: ast.Compare) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            pattern, replacements = COMPARISONS[type(operator)]
            self._replace_between(left, right, pattern, replacements)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._replace_between(left, right, rf"\b{word}\b", {other: other})
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add(self._start(node), self._start(node) + len("not"), {"not-dropped": ""})
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = any(_is_text(operand) for operand in (node.left, node.right))
        if type(node.op) in ARITHMETIC and not texts:
            pattern, other = ARITHMETIC[type(node.op)]
            self._replace_between(node.left, node.right, pattern, {"arithmetic": other})
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, flipped=str(not node.value))
        elif isinstance(node.value, int):
            self._replace(node, plus_one=str(node.value + 1), minus_one=str(node.value - 1))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None or (
            isinstance(node.value, ast.Constant) and node.value.value is None
        ):
            return
        replacements = {"return_none": "return None"}
        if self._predicate:
            value = self._content[self._start(node.value) : self._end(node.value)].decode()
            replacements = {"return_negated": f"return not ({value})"}
        self._replace(node, **replacements)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call | ast.Await):
            self._drop(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.targets[0], ast.Attribute | ast.Subscript):
            self._drop(node)
        else:
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._drop(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._drop(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._drop(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._drop(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._drop(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """An assertion holds for every correct caller: no test can reach its failure."""

    def _drop(self, node: ast.stmt) -> None:
        text = self._content[self._start(node) : self._end(node)].decode()
        if NOT_DROPPED.match(text.removeprefix("self.")):
            return
        self._replace(node, dropped="pass")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not _is_named(node.test, "TYPE_CHECKING"):
            self._force(node.test, "if")
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._force(node.test, "if")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._force(condition, "if")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._replace(node.test, while_false="False")
        self.generic_visit(node)

    def _force(self, test: ast.expr, name: str) -> None:
        self._replace(test, **{f"{name}_true": "True", f"{name}_false": "False"})


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
