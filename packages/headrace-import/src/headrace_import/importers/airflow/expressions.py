"""Evaluate expressions of a DAG file as far as they are known without running it."""

from __future__ import annotations

import ast
import datetime as dt
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from headrace_import.importers.airflow import library
from headrace_import.importers.airflow.sizes import (
    SIZE_MAX,
    UNITS_A_STEP,
    UNITS_LOOKED_AT,
    size_of,
)
from headrace_import.importers.airflow.values import (
    Class,
    External,
    ExternalCall,
    Function,
    Instance,
    Method,
    Scope,
    Text,
    Unknown,
    Value,
    XComArg,
    is_known,
    joined,
    pieces_of,
)

STEPS_MAX = 2_000_000
"""Expressions and statements evaluated for one file."""
ITEMS_MAX = 20_000
POWER_MAX = 64
DEPTH_MAX = 110


class TooMuchWork(Exception):
    """The file needs more than `STEPS_MAX` steps."""


_Arithmetic = Callable[[Value, Value], Value]
_OPERATORS: dict[type[ast.operator], _Arithmetic] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}
_COMPARISONS: dict[type[ast.cmpop], _Arithmetic] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_COMPUTING = (ast.BinOp, ast.JoinedStr, ast.Call, ast.Subscript)
"""Expressions that may take up memory each time that they are evaluated."""
_COMPUTED = (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError, OverflowError,
             AttributeError, library.NotComputed)  # fmt: skip


class Expressions:
    """Evaluation of expressions; calls and operators that build DAGs are a subclass's."""

    def __init__(self) -> None:
        self.steps = 0
        self.depth = 0
        self._table: dict[type[ast.expr], Callable[[ast.expr, Scope], Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.JoinedStr: self._f_string,
            ast.BinOp: self._binary,
            ast.BoolOp: self._boolean,
            ast.UnaryOp: self._unary,
            ast.Compare: self._compare,
            ast.IfExp: self._if_expression,
            ast.List: self._list,
            ast.Tuple: self._tuple,
            ast.Set: self._set,
            ast.Dict: self._dict,
            ast.ListComp: self._comprehension,
            ast.SetComp: self._comprehension,
            ast.GeneratorExp: self._comprehension,
            ast.DictComp: self._dict_comprehension,
            ast.Subscript: self._subscript,
            ast.Call: self._call,
            ast.Lambda: self._lambda,
            ast.NamedExpr: self._named,
            ast.Starred: self._starred,
            ast.Await: self._await,
        }

    @abstractmethod
    def call(self, function: Value, node: ast.Call, scope: Scope) -> Value:
        """Call a value with the arguments of `node`."""

    @abstractmethod
    def shift(self, left: Value, right: Value, *, forward: bool) -> Value:
        """Evaluate `left >> right`, or `left << right`."""

    @abstractmethod
    def member(self, owner: Value, name: str) -> Value:
        """Return an attribute of something that a DAG file builds, or of an object."""

    @abstractmethod
    def run(self, function: Function, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Evaluate a call of a function of the project."""

    @abstractmethod
    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Bind a target of an assignment to a value."""

    def count_step(self) -> None:
        """Raise `TooMuchWork` after too many steps."""
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise TooMuchWork

    def evaluate(self, node: ast.expr | None, scope: Scope) -> Value:
        """Return what is known about an expression; None for no expression."""
        if node is None:
            return None
        self.count_step()
        method = self._table.get(type(node))
        if method is None or self.depth > DEPTH_MAX:
            return Unknown("an expression that can't be followed")
        self.depth += 1
        try:
            value = method(node, scope)
        finally:
            self.depth -= 1
        return self._limited(value, node)

    def _limited(self, value: Value, node: ast.expr) -> Value:
        """Return a value, or an unknown one if it is too large to go through."""
        size = size_of(value)
        is_new = isinstance(node, _COMPUTING)
        self.steps += size // (UNITS_A_STEP if is_new else UNITS_LOOKED_AT)
        return value if size <= SIZE_MAX else Unknown("a value that is too large to be followed")

    def _constant(self, node: ast.expr, _scope: Scope) -> Value:
        assert isinstance(node, ast.Constant)
        return node.value if node.value is not Ellipsis else Unknown("...")

    def _name(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Name)
        is_bound, value = scope.lookup(node.id)
        if is_bound:
            return value
        module = scope
        while module.parent is not None:
            module = module.parent
        return External(f"{module.star}.{node.id}" if module.star else node.id)

    def _attribute(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Attribute)
        owner = self.evaluate(node.value, scope)
        if isinstance(owner, External):
            if node.attr == "__name__" and "." in owner.name:
                return owner.last
            return External(f"{owner.name}.{node.attr}")
        if isinstance(owner, Unknown):
            return owner
        if isinstance(owner, ExternalCall):
            return Unknown(f"`{owner.last}(…).{node.attr}`")
        if library.has_method(owner, node.attr):
            return Method(owner, node.attr)
        try:
            return library.attribute(owner, node.attr)
        except library.NotComputed:
            return self.member(owner, node.attr)

    def _f_string(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.JoinedStr)
        pieces: list[str | Unknown] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                pieces += self._formatted(part, scope)
            elif isinstance(part, ast.Constant):
                pieces.append(str(part.value))
        return joined(pieces)

    def _formatted(self, part: ast.FormattedValue, scope: Scope) -> tuple[str | Unknown, ...]:
        value = self.evaluate(part.value, scope)
        spec = self.evaluate(part.format_spec, scope) if part.format_spec else ""
        if not isinstance(spec, str):
            return (Unknown(),)
        conversion = ":" + spec if spec else ""
        marker = "!r" if part.conversion == ord("r") else ""
        try:
            return pieces_of(library.format_text("{" + marker + conversion + "}", [value], {}))
        except _COMPUTED:
            return (Unknown(),)

    def _binary(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.BinOp)
        spine: list[ast.BinOp] = [node]
        while isinstance(spine[-1].left, ast.BinOp):
            spine.append(spine[-1].left)
        left = self.evaluate(spine[-1].left, scope)
        for part in reversed(spine):
            self.count_step()
            left = self._operate(part.op, left, self.evaluate(part.right, scope))
        return left

    def _operate(self, symbol: ast.operator, left: Value, right: Value) -> Value:
        if isinstance(symbol, ast.RShift | ast.LShift):
            return self.shift(left, right, forward=isinstance(symbol, ast.RShift))
        if isinstance(symbol, ast.Mod) and isinstance(left, str):
            return library.percent(left, right)
        if isinstance(symbol, ast.Add) and isinstance(left, str | Text):
            return joined([*pieces_of(left), *pieces_of(right)])
        if isinstance(symbol, ast.Add) and isinstance(right, str | Text):
            return joined([*pieces_of(left), *pieces_of(right)])
        if isinstance(symbol, ast.Div) and isinstance(left, PurePosixPath):
            return self._joined_path(left, right)
        function = _OPERATORS.get(type(symbol))
        if function is None or _too_large(symbol, left, right):
            return Unknown("a calculation that can't be followed")
        try:
            return function(left, right)
        except _COMPUTED:
            return Unknown("a calculation that can't be followed")

    @staticmethod
    def _joined_path(left: PurePosixPath, right: Value) -> Value:
        if isinstance(right, str | PurePosixPath):
            return left / right
        return joined([f"{left}/", *pieces_of(right)])

    def _boolean(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.BoolOp)
        value: Value = None
        for part in node.values:
            value = self.evaluate(part, scope)
            truth = self.truth(value)
            if truth is None:
                return Unknown("a condition known only at run time")
            if truth == isinstance(node.op, ast.Or):
                return value
        return value

    @staticmethod
    def truth(value: Value) -> bool | None:
        """Whether a value is true; None if only a run tells."""
        if isinstance(value, Unknown | Text | External | ExternalCall | XComArg):
            return None
        if isinstance(value, list | tuple | dict | set) or is_known(value):
            return bool(value)
        return True

    def _unary(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.UnaryOp)
        value = self.evaluate(node.operand, scope)
        if isinstance(node.op, ast.Not):
            truth = self.truth(value)
            return Unknown("a condition known only at run time") if truth is None else not truth
        if isinstance(node.op, ast.USub) and isinstance(value, int | float | dt.timedelta):
            return -value
        return value if isinstance(node.op, ast.UAdd) else Unknown()

    def _compare(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Compare)
        left = self.evaluate(node.left, scope)
        for symbol, part in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(part, scope)
            if not (is_known(left) and is_known(right)):
                return Unknown("a condition known only at run time")
            try:
                if not _COMPARISONS[type(symbol)](left, right):
                    return False
            except _COMPUTED:
                return Unknown("a condition known only at run time")
            left = right
        return True

    def _if_expression(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.IfExp)
        truth = self.truth(self.evaluate(node.test, scope))
        if truth is not None:
            return self.evaluate(node.body if truth else node.orelse, scope)
        left, right = self.evaluate(node.body, scope), self.evaluate(node.orelse, scope)
        if is_known(left) and is_known(right) and left == right:
            return left
        return Unknown(f"`{ast.unparse(node.test)[:80]}` decides it at run time")

    def elements(self, nodes: Iterable[ast.expr], scope: Scope) -> list[Value]:
        """Evaluate the elements of a list, with `*` expanded."""
        results: list[Value] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                value = self.evaluate(node.value, scope)
                known = isinstance(value, list | tuple | set | dict)
                results += list(value) if known else [Unknown()]
                if len(results) > SIZE_MAX:
                    raise TooMuchWork
            else:
                results.append(self.evaluate(node, scope))
        return results

    def _list(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.List)
        return self.elements(node.elts, scope)

    def _tuple(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Tuple)
        return tuple(self.elements(node.elts, scope))

    def _set(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Set)
        return list(
            dict.fromkeys(item for item in self.elements(node.elts, scope) if _hashed(item))
        )

    def _dict(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Dict)
        results: dict[Value, Value] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            value = self.evaluate(value_node, scope)
            if key_node is None:
                results.update(value if isinstance(value, dict) else {})
                continue
            key = self.evaluate(key_node, scope)
            results[key if _hashed(key) else repr(key)] = value
        return results

    def _comprehension(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp)
        inner = Scope({}, scope, scope.file)
        return [self.evaluate(node.elt, inner) for _ in self._loops(node.generators, inner)]

    def _dict_comprehension(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.DictComp)
        inner = Scope({}, scope, scope.file)
        results: dict[Value, Value] = {}
        for _ in self._loops(node.generators, inner):
            key = self.evaluate(node.key, inner)
            results[key if _hashed(key) else repr(key)] = self.evaluate(node.value, inner)
        return results

    def _loops(self, generators: list[ast.comprehension], scope: Scope) -> Iterator[None]:
        if not generators:
            yield
            return
        first = generators[0]
        for item in self.iterated(self.evaluate(first.iter, scope)):
            self.count_step()
            self.assign(first.target, item, scope)
            tests = [self.truth(self.evaluate(test, scope)) for test in first.ifs]
            if False not in tests:
                yield from self._loops(generators[1:], scope)

    def iterated(self, value: Value) -> list[Value]:
        """Return the items of a value; one unknown item if only a run tells them."""
        if isinstance(value, list | tuple | set | frozenset) and len(value) <= ITEMS_MAX:
            return list(value)
        if isinstance(value, dict):
            return list(value)
        if isinstance(value, str):
            return list(value[:ITEMS_MAX])
        return [Unknown("an item of a list known only at run time")]

    def _subscript(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Subscript)
        owner = self.evaluate(node.value, scope)
        if isinstance(owner, XComArg):
            return owner
        if isinstance(owner, External):
            return Unknown(f"`{owner.name}[…]`")
        if isinstance(node.slice, ast.Slice):
            return self._sliced(owner, node.slice, scope)
        key = self.evaluate(node.slice, scope)
        try:
            if isinstance(owner, dict | list | tuple | str) and is_known(key):
                return owner[key]
        except _COMPUTED:
            pass
        return self.member(owner, f"[{key}]") if isinstance(owner, Instance) else Unknown()

    def _sliced(self, owner: Value, node: ast.Slice, scope: Scope) -> Value:
        bounds = [self.evaluate(part, scope) for part in (node.lower, node.upper, node.step)]
        if isinstance(owner, list | tuple | str) and is_known(bounds):
            try:
                return owner[slice(*bounds)]
            except _COMPUTED:
                pass
        return Unknown()

    def _call(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Call)
        return self.call(self.callee(node.func, scope), node, scope)

    def _lambda(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Lambda)
        return Function(node, scope)

    def callee(self, node: ast.expr, scope: Scope) -> Value:
        """Evaluate what is called."""
        return self.evaluate(node, scope)

    def _named(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.NamedExpr)
        value = self.evaluate(node.value, scope)
        self.assign(node.target, value, scope)
        return value

    def _starred(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Starred)
        return self.evaluate(node.value, scope)

    def _await(self, node: ast.expr, scope: Scope) -> Value:
        assert isinstance(node, ast.Await)
        return self.evaluate(node.value, scope)

    def arguments(self, node: ast.Call, scope: Scope) -> tuple[list[Value], dict[str, Value]]:
        """Evaluate the arguments of a call, with `*` and `**` expanded."""
        args = self.elements(node.args, scope)
        kwargs: dict[str, Value] = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value, scope)
            if keyword.arg is not None:
                kwargs[keyword.arg] = value
            elif isinstance(value, dict):
                kwargs.update({str(key): item for key, item in value.items()})
        return args, kwargs


def _hashed(value: Value) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _too_large(symbol: ast.operator, left: Value, right: Value) -> bool:
    """Whether a calculation may make a very long text or list, or a very large number."""
    sized = [item for item in (left, right) if isinstance(item, str | list | tuple | bytes)]
    counts = [item for item in (left, right) if isinstance(item, int)]
    match symbol:
        case ast.Add():
            return len(sized) == 2 and sum(map(len, sized)) > SIZE_MAX
        case ast.Mult() if sized and counts:
            return len(sized[0]) * max(counts) > SIZE_MAX
        case ast.Mult():
            return any(item.bit_length() > POWER_MAX for item in counts)
        case ast.Mod():
            return isinstance(left, bytes)
    return False


def class_attribute(cls: Class, name: str, depth: int = 0) -> Value:
    """Return an attribute of a class or of its bases; None if it has none."""
    if name in cls.names:
        return cls.names[name]
    for base in cls.bases:
        if isinstance(base, Class) and depth < 20:
            attribute = class_attribute(base, name, depth + 1)
            if attribute is not None:
                return attribute
    return None
