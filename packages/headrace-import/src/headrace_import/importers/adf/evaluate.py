"""Evaluates expressions as far as the files of a factory determine them."""

from __future__ import annotations

from typing import Any

from headrace_import.importers.adf.expressions import (
    BadExpressionError,
    Call,
    Expression,
    Interpolation,
    Literal,
    Property,
    parse_value,
)
from headrace_import.importers.adf.functions import NOT_EVALUATED, PURE, RUN_TIME, text_of
from headrace_import.importers.adf.values import (
    OF_TRIGGER,
    Moment,
    Scope,
    Template,
    Unknown,
    Value,
    has_moment,
    joined,
    merged,
    unknown_in,
)

_SYSTEM = frozenset(("datafactory", "runid", "groupid", "triggerid", "triggername", "triggertype"))
_WINDOW = {
    "windowstarttime": "start",
    "windowendtime": "end",
    "scheduledtime": "scheduled",
    "triggertime": "now",
    "starttime": "now",
}
_SHIFTS = {"adddays": 86_400, "addhours": 3600, "addminutes": 60, "addseconds": 1}
_FAULTS = (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError)


def resolve(value: Any, scope: Scope) -> Value:
    """Return a value of a factory's file with its expressions evaluated.

    Texts and `{"value": …, "type": "Expression"}` are expressions; lists and objects are resolved
    within. What isn't known, and what isn't an expression, becomes an Unknown.
    """
    if isinstance(value, str):
        return text_value(value, scope)
    if isinstance(value, list):
        return [resolve(item, scope) for item in value]
    if isinstance(value, dict):
        if value.get("type") == "Expression" and "value" in value:
            return resolve(value["value"], scope)
        return {key: resolve(item, scope) for key, item in value.items()}
    return value


def text_value(text: str, scope: Scope) -> Value:
    """Return the value of a text, which may be an expression."""
    if "@" not in text:
        return text
    try:
        return evaluate(parse_value(text), scope)
    except BadExpressionError as error:
        return Unknown(f"the expression `{_short(text)}` isn't understood: {error}")


def evaluate(tree: Expression, scope: Scope) -> Value:
    """Return an expression's value, or an Unknown."""
    if isinstance(tree, Literal):
        return tree.value
    if isinstance(tree, Interpolation):
        return _text_of_parts([evaluate(part, scope) for part in tree.parts])
    if isinstance(tree, Property):
        return _property(tree, scope)
    return _call(tree, scope)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _text_of_parts(values: list[Value]) -> Value:
    unknowns = [unknown for value in values if (unknown := unknown_in(value)) is not None]
    if unknowns:
        return merged(unknowns)
    return joined(
        value if isinstance(value, Moment | Template) else text_of(value) for value in values
    )


def _property(tree: Property, scope: Scope) -> Value:
    root = _root(tree, scope)
    if root is not None:
        return root[0]
    of, key = evaluate(tree.of, scope), evaluate(tree.key, scope)
    unknowns = [part for part in (of, key) if isinstance(part, Unknown)]
    if unknowns:
        return unknowns[0]
    if isinstance(of, dict) and isinstance(key, str) and key not in of:
        key = next((name for name in of if name.lower() == key.lower()), key)
    try:
        return of[key]
    except _FAULTS:
        return None if tree.optional else Unknown(f"there is no `{_short(str(key))}`")


def _path(tree: Expression) -> tuple[Call | None, list[str]]:
    names: list[str] = []
    while isinstance(tree, Property):
        key = tree.key
        names.append(str(key.value) if isinstance(key, Literal) else "*")
        tree = tree.of
    return (tree if isinstance(tree, Call) else None), names[::-1]


def _root(tree: Property, scope: Scope) -> tuple[Value] | None:
    """Return what `pipeline().parameters.x` and the like are; None for other properties."""
    call, path = _path(tree)
    if call is None:
        return None
    function = call.function.lower()
    if function == "pipeline" and not call.arguments:
        return _of_pipeline(path, scope)
    if function in ("trigger", "triggerbody", "triggeroutputs"):
        bound = _WINDOW.get(path[-1].lower())
        return (Moment(bound) if bound else Unknown(f"`{'.'.join(path)}` {OF_TRIGGER}"),)
    if function in ("dataset", "linkedservice") and len(path) == 1:
        values = scope.dataset if function == "dataset" else scope.linked_service
        return (_named(values, path[0], f"the parameter `{path[0]}` of the {function}"),)
    return None


def _of_pipeline(path: list[str], scope: Scope) -> tuple[Value] | None:
    if len(path) == 2 and path[0].lower() in ("parameters", "globalparameters"):
        is_global = path[0].lower() == "globalparameters"
        values = scope.global_parameters if is_global else scope.parameters
        kind = "global parameter" if is_global else "parameter"
        return (_named(values, path[1], f"the {kind} `{path[1]}`"),)
    if len(path) > 1:
        return None
    word = path[0].lower()
    if word == "pipeline":
        return (scope.pipeline,)
    if word in _WINDOW:
        return (Moment(_WINDOW[word]),)
    return (Unknown(f"`pipeline().{path[0]}` is set by each run"),) if word in _SYSTEM else None


def _named(values: Any, name: str, what: str) -> Value:
    if name in values:
        return values[name]
    for known, value in values.items():
        if known.lower() == name.lower():
            return value
    return Unknown(f"{what} has no value in the files")


def _call(tree: Call, scope: Scope) -> Value:
    function = tree.function.lower()
    if function == "if" and len(tree.arguments) == 3:
        return _if(tree, scope)
    arguments = [evaluate(argument, scope) for argument in tree.arguments]
    referred = _reference(function, tree.function, arguments, scope)
    if referred is not None:
        return referred[0]
    unknowns = [unknown for value in arguments if (unknown := unknown_in(value)) is not None]
    if unknowns:
        return merged(unknowns)
    return _known(function, tree.function, arguments)


def _known(function: str, written: str, arguments: list[Value]) -> Value:
    if function == "utcnow":
        return Moment("now", str(arguments[0]) if arguments else None)
    if any(has_moment(value) for value in arguments):
        return _of_moment(function, arguments)
    if function in RUN_TIME:
        return Unknown(f"`{written}()` differs from run to run")
    return _computed(function, written, arguments)


def _if(tree: Call, scope: Scope) -> Value:
    condition = evaluate(tree.arguments[0], scope)
    if isinstance(condition, bool):
        return evaluate(tree.arguments[1 if condition else 2], scope)
    if isinstance(condition, Unknown):
        branches = [evaluate(branch, scope) for branch in tree.arguments[1:]]
        return merged([condition, *(branch for branch in branches if isinstance(branch, Unknown))])
    return Unknown("a condition that is neither true nor false")


def _reference(
    function: str, written: str, arguments: list[Value], scope: Scope
) -> tuple[Value] | None:
    name = arguments[0] if arguments and isinstance(arguments[0], str) else "*"
    if function == "activity":
        return (Unknown(f"it is the output of the activity `{name}`", frozenset((name,))),)
    if function == "variables":
        return (_variable(name, scope),)
    if function == "item" and not arguments:
        return scope.item or (Unknown("it is an item of a list that only a run knows"),)
    if function in PURE or function in RUN_TIME:
        return None
    reason = "isn't computed here" if function in NOT_EVALUATED else "isn't a known function"
    return (Unknown(f"`{written}()` {reason}"),)


def _variable(name: str, scope: Scope) -> Value:
    for known, value in scope.variables.items():
        if known.lower() == name.lower():
            return value
    reason = f"the variable `{name}` is set by each run"
    return Unknown(reason, variables=frozenset((name.lower(),)))


def _computed(function: str, written: str, arguments: list[Value]) -> Value:
    try:
        return PURE[function](*arguments)
    except _FAULTS as error:
        return Unknown(f"`{written}()` can't be computed: {_short(str(error))}")


def _of_moment(function: str, arguments: list[Value]) -> Value:
    """Functions of the time of a run: formats, shifts, and texts made of them."""
    first = arguments[0]
    if function in ("concat", "string") and not any(isinstance(a, list | dict) for a in arguments):
        return _text_of_parts(arguments)
    if not isinstance(first, Moment) or first.format is not None:
        return Unknown(f"`{function}()` of the time of a run")
    if has_moment(arguments[1:]):
        return Unknown(f"`{function}()` of several times of a run")
    if function == "formatdatetime":
        return Moment(first.bound, str(arguments[1]) if len(arguments) > 1 else None, first.shift)
    if function in _SHIFTS and len(arguments) > 1 and isinstance(arguments[1], int):
        pattern = str(arguments[2]) if len(arguments) > 2 else None
        return Moment(first.bound, pattern, first.shift + _SHIFTS[function] * arguments[1])
    return Unknown(f"`{function}()` of the time of a run")
