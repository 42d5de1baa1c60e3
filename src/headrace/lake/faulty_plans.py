"""Finds wrong results in DuckDB's plan of a statement, which has the types.

They are calls that `engine_faults` names, and decimals that it rounds although nobody cast them:
DuckDB's decimals have at most 38 digits. Where UNION, CASE, IN, a list and the like need more for
the common type of two values, it drops decimals; a recursive query and the default of `lag` give
the type of the first value to all others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal
from headrace.sql.engine_faults import WrongResult, wrong_result

if TYPE_CHECKING:
    import duckdb

OPEN_PIVOT = (
    "a PIVOT that lists no values can't be run: DuckDB makes two statements of it, of which the"
    " first reads the values"
)
LISTED_PIVOT = "list them: pivot orders on kind in ('a', 'b') using sum(amount)"
_FLOATS = {"FLOAT", "DOUBLE"}
_ANY_SCALE = 1000
"""The scale of floating-point numbers, which have more decimals than any DECIMAL."""
_NOWHERE = 2**64 - 1
"""The location of what isn't in the statement's text."""
_ELSEWHERE = -1
"""Stands for the locations in the texts of macros, which macros that they call have."""
_MACROS = (
    "SELECT lower(function_name), list(macro_definition) FROM duckdb_functions()"
    " WHERE function_type = 'macro' GROUP BY ALL"
)


def is_open_pivot(statements: Sequence[duckdb.Statement]) -> bool:
    """Return whether the statements are those that DuckDB makes of a PIVOT without a list."""
    import duckdb

    first = statements[0] if statements else None
    return bool(first and first.type == duckdb.StatementType.CREATE and not first.query)


def refuse_faulty_plan(
    session: DuckDBSession, statement: str, parameters: Mapping[str, Any] | None = None
) -> bool:
    """Raise WrongResult if DuckDB errs in a call, or drops decimals of a value that nobody casts.

    Pass the statement over empty tables: nothing depends on rows. A statement that can't be bound
    passes, because its own error says more; so does one without the values of its parameters.
    Returns whether all its joins are of whole tables, so that they may filter what they read
    (#22924); False for a statement that can't be bound.
    """
    statement = _with_values(session, statement, parameters) if parameters else statement
    nodes = list(_nodes(session, "plan", statement))
    for source, at in _wrong_calls(nodes):
        raise wrong_result(source, line=_line_of(statement, at))
    losing = [node for node in nodes if _loses_decimals(node)]
    written = (
        _written_casts(session, statement, dict(session.connection.execute(_MACROS).fetchall()))
        if losing
        else {}
    )
    for cast in losing:
        at, child = cast["query_location"], cast["child"]
        is_written = (
            child["expression_class"] != "BOUND_REF"
            if at == _NOWHERE
            else cast["return_type"] in written.get(at, written.get(_ELSEWHERE, ()))
        )
        if not is_written:
            name = child.get("alias") or child.get("name")
            raise WrongResult(
                f"DuckDB rounds {f'`{name}`' if name else 'a value'} from {_shown(_type_of(child))}"
                f" to {_shown(cast['return_type'])}, the type that it gives all values brought"
                " together there",
                hint=(
                    "give the other side fewer digits, such as sum(amount)::decimal(18,3), or write"
                    " the cast that rounds"
                ),
                line=_line_of(statement, at),
            )
    return any(map(_joins_whole_rows, _plans(nodes)))


_WHOLE_ROWS = {
    f"LOGICAL_{name}"
    for name in (
        "GET",
        "CTE_REF",
        "MATERIALIZED_CTE",
        "EMPTY_RESULT",
        "DUMMY_SCAN",
        "EXPRESSION_GET",
        "PROJECTION",
        "FILTER",
        "COMPARISON_JOIN",
        "CROSS_PRODUCT",
    )
}
"""Operators that decide about each row, or pair of rows, without looking at others."""


def _plans(nodes: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    return nodes[0].get("plans", ()) if nodes else ()


def _joins_whole_rows(plan: dict[str, Any]) -> bool:
    """Return whether all that a plan joins, or names by WITH, comes of `_WHOLE_ROWS`.

    What comes after all joins, such as GROUP BY and LIMIT, doesn't matter.
    """
    below = plan["children"]
    if plan["type"] == "LOGICAL_MATERIALIZED_CTE":
        return _is_whole(below[0]) and _joins_whole_rows(below[1])
    return _joins_whole_rows(below[0]) if len(below) == 1 else _is_whole(plan)


def _is_whole(plan: dict[str, Any]) -> bool:
    return plan["type"] in _WHOLE_ROWS and all(map(_is_whole, plan["children"]))


def _with_values(session: DuckDBSession, statement: str, parameters: Mapping[str, Any]) -> str:
    """Return a statement with the values of its parameters: DuckDB plans no others."""
    import duckdb

    described = ", ".join(f"typeof(${name}), CAST(${name} AS VARCHAR)" for name in parameters)
    row = session.run(f"SELECT {described}", dict(parameters)).fetchone() or ()
    values = {
        f"${name}".lower(): f"CAST({'NULL' if text is None else literal(text)} AS {kind})"
        for name, kind, text in zip(parameters, row[::2], row[1::2], strict=True)
    }
    code, text, end = statement.encode(), "", 0
    for at, kind in duckdb.tokenize(statement):
        name = _PARAMETER.match(code[at:].decode()) if code.startswith(b"$", at) else None
        if name and kind == duckdb.token_type.operator and (value := values.get(name[0].lower())):
            text += code[end:at].decode() + value.replace("\n", " ")
            end = at + len(name[0].encode())
    return text + code[end:].decode()


_PARAMETER = re.compile(r"\$\w+")


def _line_of(statement: str, at: int) -> int:
    return 1 if at == _NOWHERE else statement.encode()[:at].count(b"\n") + 1


def _wrong_calls(nodes: Sequence[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield the sources of faults that calls show, and the locations of the calls."""
    for node in nodes:
        source, is_wrong = _CALLS.get(node.get("name", ""), ("", None))
        if is_wrong is not None and "arguments" in node and is_wrong(node):
            yield source, node["query_location"]


def _rounds_beyond(call: dict[str, Any]) -> bool:
    """Return whether `round` gives a decimal one digit more than its type has."""
    info = call["arguments"][0].get("type_info") or {"scale": 0, "width": 0}
    places = (call["children"][-1].get("value") or {}).get("value")
    return bool(places == info["scale"] - info["width"] < 0)


def _groups_integers(call: dict[str, Any]) -> bool:
    """Return whether `printf` writes a whole number as a fraction with thousands."""
    text = str((call["children"][0].get("value") or {}).get("value", "")).replace("%%", "")
    conversions = re.findall(r"%[^a-zA-Z]*[a-zA-Z]", text)
    return any(
        _GROUPED_FRACTION.fullmatch(conversion) and _is_integer(kind)
        for conversion, kind in zip(conversions, call["arguments"][1:], strict=False)
    )


_GROUPED_FRACTION = re.compile(r"%[^a-zA-Z]*[,_'][^a-zA-Z]*[aefg]", re.IGNORECASE)
_CALLS: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "round": ("#24344", _rounds_beyond),
    "median": ("#23700", lambda call: call["arguments"][0]["id"] == "INTERVAL"),
    "printf": ("#24601", _groups_integers),
}
"""The sources of faults by the function that may show them, with what shows them."""


def _nodes(session: DuckDBSession, form: str, statement: str) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a statement's `plan`, or of its text (`sql`)."""
    import duckdb

    try:
        waiting = [
            json.loads(session.row(f"SELECT json_serialize_{form}({literal(statement)})")[0])
        ]
    except (duckdb.Error, RecursionError):
        return
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _loses_decimals(node: dict[str, Any]) -> bool:
    if node.get("expression_class") != "BOUND_CAST":
        return False
    before, after = _scales(_type_of(node["child"])), _scales(node["return_type"])
    return any(
        0 <= fewer < more for more, fewer in zip(before, after, strict=False)
    ) and not _is_exact(node["child"].get("value"), before[0] - after[0])


def _type_of(expression: dict[str, Any]) -> dict[str, Any]:
    """Return the type of a bound expression; one without a result has none."""
    return expression.get("return_type") or expression.get("value", {}).get("type") or {}


def _scales(kind: dict[str, Any]) -> list[int]:
    """Return the decimals of a number, or of each value in a nested type; -1 for other values."""
    info, name = kind.get("type_info") or {}, kind.get("id", "")
    inside = [each["second"] for each in info.get("child_types", ())]
    if children := [info["child_type"]] if "child_type" in info else inside:
        return [scale for child in children for scale in _scales(child)]
    default = 0 if _is_integer(kind) else -1
    return [_ANY_SCALE if name in _FLOATS else info.get("scale", default)]


def _is_integer(kind: dict[str, Any]) -> bool:
    return str(kind.get("id")).endswith(("INT", "INTEGER"))


def _is_exact(value: dict[str, Any] | None, decimals: int) -> bool:
    """Return whether a constant is zero in its last decimals."""
    if value is None or value["type"]["id"] != "DECIMAL":
        return False
    digits = 0 if value["is_null"] else value["value"]
    if isinstance(digits, dict):
        digits = digits["upper"] * 2**64 + digits["lower"]
    return bool(digits % 10**decimals == 0)


def _written_casts(  # complexipy: ignore (three ways to write a cast, one of them nested)
    session: DuckDBSession, statement: str, macros: dict[str, list[str]]
) -> dict[int, list[Any]]:
    """Return the types of the casts in a statement by location. `macros` have their bodies.

    DuckDB's own casts have the location of what they cast. The alias of a cast stands for it
    elsewhere, and a macro for the casts in it, also by another macro.
    """
    casts = [node for node in _nodes(session, "sql", statement) if node.get("class") == "CAST"]
    written = {cast["query_location"]: [cast["cast_type"]] for cast in casts}
    aliases = {cast["alias"].lower(): [cast["cast_type"]] for cast in casts}
    for node in _nodes(session, "sql", statement):
        if (name := str(node.get("function_name", "")).lower()) in macros:
            inside = [
                _written_casts(session, f"SELECT {body}", macros | {name: []})
                for body in macros[name]
            ]
            kinds = [kind for casts_of in inside for some in casts_of.values() for kind in some]
            written[node["query_location"]] = kinds
            written[_ELSEWHERE] = [*written.get(_ELSEWHERE, ()), *kinds]
        elif node.get("class") == "COLUMN_REF" and node["column_names"][-1].lower() in aliases:
            written[node["query_location"]] = aliases[node["column_names"][-1].lower()]
    return written


def _shown(kind: dict[str, Any]) -> str:
    info = kind.get("type_info") or {}
    return f"DECIMAL({info['width']},{info['scale']})" if "scale" in info else str(kind["id"])
