"""The static evaluator of Jinja: walks the syntax tree with known values only.

Whatever isn't known for sure (queries, the catalog, the environment) raises `NotStatic`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import nodes

from headrace_import.importers.dbt.bounds import (
    TEXT_CHARACTERS_MAX,
    Work,
    joined,
    modulo,
    power,
    require_short,
    without_surrogates,
)
from headrace_import.importers.dbt.filters import FILTERS, METHODS, TESTS
from headrace_import.importers.dbt.templates import NotStatic, parse
from headrace_import.importers.dbt.values import (
    Configuration,
    Function,
    Missing,
    Namespace,
    Relation,
    Template,
)

STEPS_MAX = 300_000
"""At most this number of syntax nodes are evaluated for one template."""
CALLS_DEEP_MAX = 40
IS_INCREMENTAL = "is_incremental"
GUARDED = ("\x01", "\x02")
"""Marks around the text of `{% if is_incremental() %}` while `guarding`."""


_UNKNOWN = object()
"""The value of a name that neither the template nor the project defines."""
_SURPRISES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
"""What an expression of a template may raise that dbt would raise, too."""


class _Return(Exception):
    """`return(value)` of a macro."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Evaluator:
    """Evaluates one template; `names` are the names that it sees, `macro` finds a macro by name."""

    def __init__(
        self, names: Mapping[str, Any], macro: Callable[[str], Any] = lambda _: None
    ) -> None:
        self._names = names
        self._macro = macro
        self.guarding = False
        """Whether what `if is_incremental()` encloses is marked by `GUARDED`."""
        self.called: list[str] = []
        """Ids of the project's macros that were called."""
        self._steps = 0
        self._work = Work()
        self._written = 0
        self._depth = 0

    def text(self, source: str) -> str:
        """Return what a template comes to. Raise NotStatic."""
        try:
            return without_surrogates(self._body(parse(source).body, Scope(self._names)))
        except _Return as returned:
            return self._text(returned.value)
        except RecursionError:
            raise NotStatic("its Jinja is nested too deeply") from None
        except _SURPRISES as error:
            raise NotStatic(f"its Jinja can't be computed: {error}") from None

    def value(self, source: str) -> Any:
        """Return the value of `{{ expression }}` alone, else the text. Raise NotStatic."""
        body = parse(source).body
        if len(body) == 1 and isinstance(body[0], nodes.Output) and len(body[0].nodes) == 1:
            return self._expression(body[0].nodes[0], Scope(self._names))
        return self.text(source)

    def call_macro(
        self, macro: Template, args: list[Any], kwargs: dict[str, Any], line: int = 1
    ) -> Any:
        """Return what a macro returns: its text, or the value of `return`."""
        if self._depth >= CALLS_DEEP_MAX:
            raise NotStatic(f"the macro {macro.node.name} calls itself too deeply", line)
        if macro.id:
            self.called.append(macro.id)
        scope = Scope(self._names)
        self._bind(macro.node, args, kwargs, scope)
        self._depth += 1
        try:
            return self._body(macro.node.body, scope)
        except _Return as returned:
            return returned.value
        finally:
            self._depth -= 1

    def _bind(
        self, node: nodes.Macro, args: list[Any], kwargs: dict[str, Any], scope: Scope
    ) -> None:
        names = [arg.name for arg in node.args]
        rest = dict(kwargs)
        defaults = dict(zip(names[len(names) - len(node.defaults) :], node.defaults, strict=True))
        for index, name in enumerate(names):
            if index < len(args):
                scope.set(name, args[index])
            elif name in rest:
                scope.set(name, rest.pop(name))
            elif name in defaults:
                scope.set(name, self._expression(defaults[name], scope))
            else:
                scope.set(name, Missing(name))
        scope.set("varargs", list(args[len(names) :]))
        scope.set("kwargs", rest)

    # Statements.

    def _body(self, body: Iterable[nodes.Node], scope: Scope) -> str:
        parts = [self._statement(node, scope) for node in body]
        return "".join(parts)

    def _statement(self, node: nodes.Node, scope: Scope) -> str:
        self._count(node)
        method = _STATEMENTS.get(type(node))
        if method is None:
            raise NotStatic(f"`{type(node).__name__.lower()}` isn't read", node.lineno)
        result: str = method(self, node, scope)
        return result

    def _count(self, node: nodes.Node) -> None:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise NotStatic(f"it takes more than {STEPS_MAX:,} steps", node.lineno)

    def _output(self, node: nodes.Output, scope: Scope) -> str:
        parts = [self._text(self._expression(part, scope), part.lineno) for part in node.nodes]
        self._written += sum(map(len, parts))
        if self._written > TEXT_CHARACTERS_MAX:
            raise NotStatic(f"it writes more than {TEXT_CHARACTERS_MAX:,} characters", node.lineno)
        return "".join(parts)

    def _if(self, node: nodes.If, scope: Scope) -> str:
        if self.guarding and not node.elif_ and not node.else_ and self._asks(node.test, scope):
            return f"{GUARDED[0]}{self._body(node.body, scope)}{GUARDED[1]}"
        for branch in [node, *node.elif_]:
            if self._truth(branch.test, scope):
                return self._body(branch.body, scope)
        return self._body(node.else_, scope)

    def _asks(self, test: nodes.Node, scope: Scope) -> bool:
        """Return whether a condition is dbt's `is_incremental()` alone."""
        if not (isinstance(test, nodes.Call) and isinstance(test.node, nodes.Name)):
            return False
        called = self._known(test.node.name, scope)
        return isinstance(called, Function) and called.name == IS_INCREMENTAL

    def _truth(self, test: nodes.Node, scope: Scope) -> bool:
        return bool(self._expression(test, scope))

    def _for(self, node: nodes.For, scope: Scope) -> str:
        if node.recursive:
            raise NotStatic("a recursive loop isn't read", node.lineno)
        items = _items(self._expression(node.iter, scope), node.lineno)
        if node.test is not None:
            items = [item for item in items if self._passes(node, item, scope)]
        if not items:
            return self._body(node.else_, scope)
        parts = []
        for index, item in enumerate(items):
            self._count(node)
            inner = scope.child()
            self._assign(node.target, item, inner)
            inner.set("loop", _loop(index, items))
            parts.append(self._body(node.body, inner))
        return "".join(parts)

    def _passes(self, node: nodes.For, item: Any, scope: Scope) -> bool:
        inner = scope.child()
        self._assign(node.target, item, inner)
        return node.test is not None and self._truth(node.test, inner)

    def _set(self, node: nodes.Assign, scope: Scope) -> str:
        self._assign(node.target, self._expression(node.node, scope), scope)
        return ""

    def _set_block(self, node: nodes.AssignBlock, scope: Scope) -> str:
        text = self._body(node.body, scope.child())
        value = text if node.filter is None else self._filtered(node.filter, text, scope)
        self._assign(node.target, value, scope)
        return ""

    def _assign(self, target: nodes.Node, value: Any, scope: Scope) -> None:
        if isinstance(target, nodes.Name):
            scope.set(target.name, value)
        elif isinstance(target, nodes.NSRef):
            holder = scope.get(target.name)
            if not isinstance(holder, Namespace):
                raise NotStatic(f"{target.name} is no namespace", target.lineno)
            holder.members[target.attr] = value
        elif isinstance(target, nodes.Tuple):
            items = _items(value, target.lineno)
            if len(items) != len(target.items):
                raise NotStatic("a value doesn't have as many parts as names", target.lineno)
            for part, item in zip(target.items, items, strict=True):
                self._assign(part, item, scope)
        else:
            raise NotStatic("this assignment isn't read", target.lineno)

    def _do(self, node: nodes.ExprStmt, scope: Scope) -> str:
        self._expression(node.node, scope)
        return ""

    def _define(self, node: nodes.Macro, scope: Scope) -> str:
        scope.set(node.name, Template("", node, ""))
        return ""

    def _filter_block(self, node: nodes.FilterBlock, scope: Scope) -> str:
        return self._text(self._filtered(node.filter, self._body(node.body, scope.child()), scope))

    def _scoped(self, node: nodes.Scope, scope: Scope) -> str:
        return self._body(node.body, scope.child())

    def _call_block(self, node: nodes.CallBlock, _: Scope) -> str:
        name = node.call.node.name if isinstance(node.call.node, nodes.Name) else "call"
        raise NotStatic(f"`call {name}` runs when dbt runs", node.lineno)

    # Expressions.

    def _expression(self, node: nodes.Node, scope: Scope) -> Any:
        self._count(node)
        method = _EXPRESSIONS.get(type(node))
        if method is None:
            raise NotStatic(f"`{type(node).__name__}` isn't read", node.lineno)
        return method(self, node, scope)

    def _name(self, node: nodes.Name, scope: Scope) -> Any:
        value = self._known(node.name, scope)
        if value is _UNKNOWN:
            raise NotStatic(f"only dbt knows what `{node.name[:60]}` is", node.lineno)
        return value

    def _known(self, name: str, scope: Scope) -> Any:
        """Return the value of a name. One that isn't known here may be one of dbt's."""
        value = scope.get(name)
        if value is None and not scope.has(name):
            return self._macro(name) or _UNKNOWN
        return value

    def _getattr(self, node: nodes.Getattr, scope: Scope) -> Any:
        return self._member(self._expression(node.node, scope), node.attr, node.lineno)

    def _getitem(self, node: nodes.Getitem, scope: Scope) -> Any:
        holder = self._expression(node.node, scope)
        if isinstance(node.arg, nodes.Slice):
            bounds = [
                None if part is None else self._expression(part, scope)
                for part in (node.arg.start, node.arg.stop, node.arg.step)
            ]
            if isinstance(holder, str | list | tuple):
                return holder[slice(*bounds)]
            raise NotStatic("this value can't be cut", node.lineno)
        key = self._expression(node.arg, scope)
        if isinstance(holder, list | tuple | str | dict):
            try:
                return holder[key]
            except (LookupError, TypeError):
                return Missing(str(key)[:60])
        return self._member(holder, key, node.lineno)

    def _member(self, holder: Any, name: Any, line: int) -> Any:
        if isinstance(holder, Namespace | Configuration) and name in holder.members:
            return holder.members[name]
        if isinstance(holder, dict) and name in holder:
            return holder[name]
        for kind, methods in METHODS.items():
            if isinstance(holder, kind) and name in methods:
                return Function(name, methods[name].__get__(holder))
        if isinstance(holder, Relation) and name in ("identifier", "name", "table"):
            return holder.name
        if isinstance(holder, dict):
            return Missing(str(name))
        label = getattr(holder, "name", type(holder).__name__)
        raise NotStatic(f"`{label}.{name}` isn't known without running dbt", line)

    def _call(self, node: nodes.Call, scope: Scope) -> Any:
        if isinstance(node.node, nodes.Name) and self._known(node.node.name, scope) is _UNKNOWN:
            raise _not_callable(node.node.name, node.lineno)
        called = self._expression(node.node, scope)
        args = [self._expression(arg, scope) for arg in node.args]
        kwargs = {pair.key: self._expression(pair.value, scope) for pair in node.kwargs}
        if node.dyn_args is not None:
            args += _items(self._expression(node.dyn_args, scope), node.lineno)
        if node.dyn_kwargs is not None:
            kwargs |= self._expression(node.dyn_kwargs, scope)
        if isinstance(called, Template):
            return self.call_macro(called, args, kwargs, node.lineno)
        if isinstance(called, Function):
            return self._call_function(called, args, kwargs, node.lineno)
        raise _not_callable(called.name if isinstance(called, Missing) else "a value", node.lineno)

    def _call_function(
        self, called: Function, args: list[Any], kwargs: dict[str, Any], line: int
    ) -> Any:
        if called.name == "return":
            raise _Return(args[0] if args else None)
        try:
            self._work.handle([*args, *kwargs.values()], line)
            require_short(called.name, args)
            return self._bounded(called.call(*args, **kwargs), line)
        except NotStatic as error:
            raise type(error)(error.reason, line) from None
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            raise NotStatic(f"`{called.name}` can't be called so: {error}", line) from None

    def _filter(self, node: nodes.Filter, scope: Scope) -> Any:
        if node.node is None:
            raise NotStatic("this filter has no value", node.lineno)
        return self._filtered(node, self._expression(node.node, scope), scope)

    def _filtered(self, node: nodes.Filter, value: Any, scope: Scope) -> Any:
        if node.name not in FILTERS:
            raise NotStatic(f"the filter `{node.name}` isn't read", node.lineno)
        args = [self._expression(arg, scope) for arg in node.args]
        kwargs = {str(pair.key): self._expression(pair.value, scope) for pair in node.kwargs}
        function = Function(node.name, FILTERS[node.name])
        return self._call_function(function, [value, *args], kwargs, node.lineno)

    def _test(self, node: nodes.Test, scope: Scope) -> bool:
        if node.name not in TESTS:
            raise NotStatic(f"the test `{node.name}` isn't read", node.lineno)
        args = [self._expression(arg, scope) for arg in node.args]
        value = self._expression(node.node, scope)
        return bool(
            self._call_function(
                Function(node.name, TESTS[node.name]), [value, *args], {}, node.lineno
            )
        )

    def _compare(self, node: nodes.Compare, scope: Scope) -> bool:
        left = self._expression(node.expr, scope)
        for operand in node.ops:
            right = self._expression(operand.expr, scope)
            if not self._apply(_COMPARISONS[operand.op], left, right, node.lineno):
                return False
            left = right
        return True

    def _binary(self, node: nodes.BinExpr, scope: Scope) -> Any:
        left, right = self._expression(node.left, scope), self._expression(node.right, scope)
        if isinstance(node, nodes.Mul) and not (_number(left) and _number(right)):
            raise NotStatic("a text can't be repeated", node.lineno)
        return self._apply(_OPERATORS[type(node)], left, right, node.lineno)

    def _apply(self, function: Callable[[Any, Any], Any], left: Any, right: Any, line: int) -> Any:
        for value in (left, right):
            if isinstance(value, Missing):
                raise NotStatic(f"`{value.name}` isn't defined", line)
        try:
            self._work.handle([left, right], line)
            return self._bounded(function(left, right), line)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise NotStatic(f"an expression can't be computed: {error}", line) from None

    def _and(self, node: nodes.And, scope: Scope) -> Any:
        left = self._expression(node.left, scope)
        return self._expression(node.right, scope) if left else left

    def _or(self, node: nodes.Or, scope: Scope) -> Any:
        left = self._expression(node.left, scope)
        return left or self._expression(node.right, scope)

    def _choice(self, node: nodes.CondExpr, scope: Scope) -> Any:
        if self._truth(node.test, scope):
            return self._expression(node.expr1, scope)
        return "" if node.expr2 is None else self._expression(node.expr2, scope)

    def _concat(self, node: nodes.Concat, scope: Scope) -> str:
        parts = (self._text(self._expression(part, scope), node.lineno) for part in node.nodes)
        text: str = self._bounded(joined(parts, node.lineno), node.lineno)
        return text

    def _bounded(self, value: Any, line: int) -> Any:
        self._work.handle([value], line)
        return value

    def _text(self, value: Any, line: int = 1) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, Missing):
            raise NotStatic(f"`{value.name}` isn't defined", line)
        if isinstance(value, Template | Function | Namespace):
            raise NotStatic("a macro is written out instead of called", line)
        return str(self._bounded(value, line))


class Scope:
    """Names of one block; a child sees its parent's, and what it sets stays in it (as in Jinja)."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._layers: list[dict[str, Any]] = [{}]
        self._names = names

    def child(self) -> Scope:
        """Return a scope within this one."""
        inner = Scope(self._names)
        inner._layers = [*self._layers, {}]
        return inner

    def set(self, name: str, value: Any) -> None:
        """Set a name in this scope."""
        self._layers[-1][name] = value

    def has(self, name: str) -> bool:
        """Return whether a name is defined."""
        return any(name in layer for layer in self._layers) or name in self._names

    def get(self, name: str) -> Any:
        """Return a name's value; None if it isn't defined."""
        for layer in reversed(self._layers):
            if name in layer:
                return layer[name]
        return self._names.get(name)


def _loop(index: int, items: list[Any]) -> dict[str, Any]:
    return {
        "index": index + 1,
        "index0": index,
        "first": index == 0,
        "last": index == len(items) - 1,
        "length": len(items),
        "revindex": len(items) - index,
        "revindex0": len(items) - index - 1,
        "previtem": items[index - 1] if index else Missing("loop.previtem"),
        "nextitem": items[index + 1] if index + 1 < len(items) else Missing("loop.nextitem"),
    }


def _items(value: Any, line: int) -> list[Any]:
    if isinstance(value, list | tuple | dict | str | range):
        return list(value)
    if isinstance(value, Missing):
        raise NotStatic(f"`{value.name}` isn't defined", line)
    raise NotStatic("a loop goes over values that only dbt knows", line)


def _not_callable(name: str, line: int) -> NotStatic:
    return NotStatic(f"`{name}` isn't a macro of this project or a known function", line)


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda a, b: a in b,
    "notin": lambda a, b: a not in b,
}


_OPERATORS: dict[type[nodes.Node], Callable[[Any, Any], Any]] = {
    nodes.Add: operator.add,
    nodes.Sub: operator.sub,
    nodes.Mul: operator.mul,
    nodes.Div: operator.truediv,
    nodes.FloorDiv: operator.floordiv,
    nodes.Mod: modulo,
    nodes.Pow: power,
}

_STATEMENTS: dict[type[nodes.Node], Callable[[Evaluator, Any, Scope], str]] = {
    nodes.Output: Evaluator._output,
    nodes.If: Evaluator._if,
    nodes.For: Evaluator._for,
    nodes.Assign: Evaluator._set,
    nodes.AssignBlock: Evaluator._set_block,
    nodes.ExprStmt: Evaluator._do,
    nodes.Macro: Evaluator._define,
    nodes.FilterBlock: Evaluator._filter_block,
    nodes.Scope: Evaluator._scoped,
    nodes.CallBlock: Evaluator._call_block,
}

_EXPRESSIONS: dict[type[nodes.Node], Callable[[Evaluator, Any, Scope], Any]] = {
    nodes.TemplateData: lambda _, node, __: node.data,
    nodes.Const: lambda _, node, __: node.value,
    nodes.Name: Evaluator._name,
    nodes.Getattr: Evaluator._getattr,
    nodes.Getitem: Evaluator._getitem,
    nodes.Call: Evaluator._call,
    nodes.Filter: Evaluator._filter,
    nodes.Test: Evaluator._test,
    nodes.Compare: Evaluator._compare,
    nodes.And: Evaluator._and,
    nodes.Or: Evaluator._or,
    nodes.Not: lambda self, node, scope: not self._expression(node.node, scope),
    nodes.Neg: lambda self, node, scope: -self._expression(node.node, scope),
    nodes.Pos: lambda self, node, scope: +self._expression(node.node, scope),
    nodes.CondExpr: Evaluator._choice,
    nodes.Concat: Evaluator._concat,
    nodes.List: lambda self, node, scope: [self._expression(i, scope) for i in node.items],
    nodes.Tuple: lambda self, node, scope: tuple(self._expression(i, scope) for i in node.items),
    nodes.Dict: lambda self, node, scope: {
        self._expression(pair.key, scope): self._expression(pair.value, scope)
        for pair in node.items
    },
    **dict.fromkeys(_OPERATORS, Evaluator._binary),
}
