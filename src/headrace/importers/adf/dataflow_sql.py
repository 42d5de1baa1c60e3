"""Transformations of mapping data flows as SQL of DuckDB, where they mean the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.importers.adf.dataflow_script import (
    Assigned,
    Column,
    Function,
    Named,
    Node,
    Number,
    Operation,
    Step,
    Text,
    Typed,
)

_TYPES = {
    "string": "varchar",
    "integer": "integer",
    "short": "smallint",
    "long": "bigint",
    "double": "double",
    "float": "real",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
_SIGNS = {
    "==": "=", "!=": "<>", "<>": "<>", "<=>": "is not distinct from", "===": "is not distinct from",
    "<": "<", ">": ">", "<=": "<=", ">=": ">=", "&&": "and", "||": "or", "-": "-", "*": "*",
    "/": "/", "%": "%",
}  # fmt: skip
_SAME = {
    "coalesce": "coalesce", "upper": "upper", "lower": "lower", "length": "length",
    "left": "left", "right": "right", "abs": "abs", "floor": "floor", "ceil": "ceil",
    "sum": "sum", "avg": "avg", "min": "min", "max": "max", "year": "year", "month": "month",
    "dayofmonth": "day", "hour": "hour", "minute": "minute", "second": "second", "md5": "md5",
    "startswith": "starts_with", "endswith": "ends_with", "instr": "instr", "round": "round",
    "stddev": "stddev_samp", "variance": "var_samp", "trim": "trim", "ltrim": "ltrim",
    "rtrim": "rtrim", "sqrt": "sqrt", "power": "power", "reverse": "reverse", "iifnull": "coalesce",
}  # fmt: skip
_CASTS = {
    "tointeger": "integer", "toshort": "smallint", "tolong": "bigint", "todouble": "double",
    "tofloat": "real", "toboolean": "boolean",
}  # fmt: skip
_RANKS = {"rownumber": "row_number", "rank": "rank", "denserank": "dense_rank"}
_TEXT_FUNCTIONS = frozenset(
    ("tostring", "upper", "lower", "concat", "left", "right", "substring", "trim", "ltrim", "rtrim",
     "replace", "md5", "reverse")
)  # fmt: skip
_JOINS = {"inner": "join", "left": "left join", "right": "right join", "outer": "full join"}


class NoCounterpartError(Exception):
    """What a data flow does that SQL here doesn't."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a stream: its name, the name in SQL, whether it is text, and its origin."""

    name: str
    sql: str
    is_text: bool
    stream: str


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows that a transformation gives: the name of its CTE and its columns."""

    cte: str
    fields: tuple[Field, ...]

    def find(self, column: Column) -> Field:
        """Return the field of a column. Raise NoCounterpartError if there isn't one alone."""
        named = [field for field in self.fields if field.name == column.name]
        if column.stream:
            named = [field for field in named if field.stream == column.stream] or named
        if len(named) != 1:
            what = "unknown" if not named else "of several streams"
            raise NoCounterpartError(f"the column `{column.name}` is {what}")
        return named[0]


def quoted(name: str) -> str:
    """Return a name within quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def option(step: Step, key: str) -> str:
    """Return an option of a transformation as text; empty if it has none."""
    for argument in step.transformation.arguments:
        if isinstance(argument, Named) and argument.key == key:
            value = argument.value
            return (
                value.name if isinstance(value, Column | Function) else getattr(value, "value", "")
            )
    return ""


class Expressions:
    """Expressions over the columns of streams, as SQL."""

    def __init__(self, streams: tuple[Stream, ...], aliases: tuple[str, ...] = ()) -> None:
        self._streams, self._aliases = streams, aliases

    def sql(self, node: Node) -> str:
        """Return an expression as SQL. Raise NoCounterpartError."""
        if isinstance(node, Text):
            return literal(node.value)
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Column):
            return self._column(node)
        if isinstance(node, Operation):
            return self._operation(node)
        if isinstance(node, Function):
            return self._function(node.name.lower(), node.arguments)
        raise NoCounterpartError("an assignment stands within an expression")

    def is_text(self, node: Node) -> bool:
        """Whether an expression is text, as far as it can be told."""
        if isinstance(node, Text):
            return True
        if isinstance(node, Column):
            return self._field(node)[1].is_text
        if isinstance(node, Operation):
            return node.sign == "+" and any(map(self.is_text, node.operands))
        if not isinstance(node, Function):
            return False
        if node.name.lower() in ("iif", "coalesce", "iifnull"):
            return any(map(self.is_text, node.arguments))
        return node.name.lower() in _TEXT_FUNCTIONS

    def _field(self, column: Column) -> tuple[str, Field]:
        if column.name.startswith(("$", ":")):
            raise NoCounterpartError(f"it uses `{column.name}`")
        candidates: list[tuple[str, Field]] = []
        for position, stream in enumerate(self._streams):
            alias = self._aliases[position] if self._aliases else ""
            try:
                candidates.append((alias, stream.find(column)))
            except NoCounterpartError:
                continue
        if column.stream and len(candidates) > 1:
            candidates = [
                candidate for candidate in candidates if candidate[1].stream == column.stream
            ] or candidates
        if len(candidates) != 1:
            raise NoCounterpartError(f"the column `{column.name}` isn't one of its inputs alone")
        return candidates[0]

    def _column(self, column: Column) -> str:
        alias, field = self._field(column)
        return f"{alias}.{quoted(field.sql)}" if alias else quoted(field.sql)

    def _operation(self, node: Operation) -> str:
        operands = [self.sql(operand) for operand in node.operands]
        if len(operands) == 1:
            return f"(not {operands[0]})" if node.sign == "!" else f"(-{operands[0]})"
        if node.sign == "+":
            sign = "||" if any(map(self.is_text, node.operands)) else "+"
            return f"({operands[0]} {sign} {operands[1]})"
        if node.sign not in _SIGNS:
            raise NoCounterpartError(f"it uses the operator `{node.sign}`")
        return f"({operands[0]} {_SIGNS[node.sign]} {operands[1]})"

    def _function(self, name: str, arguments: tuple[Node, ...]) -> str:
        if name in ("true", "false") and not arguments:
            return name
        special = self._special(name)
        if special is not None:
            return special(arguments)
        given = [self.sql(argument) for argument in arguments]
        if name in _CASTS and len(given) == 1:
            return f"try_cast({given[0]} as {_CASTS[name]})"
        if name in ("todate", "totimestamp") and len(given) == 1:
            return f"try_cast({given[0]} as {name[2:]})"
        if name in _SAME and given:
            return f"{_SAME[name]}({', '.join(given)})"
        raise NoCounterpartError(f"it calls `{name}()`")

    def _special(self, name: str) -> Callable[[tuple[Node, ...]], str] | None:
        return {
            "iif": self._iif, "isnull": self._isnull, "not": self._not, "case": self._case,
            "count": self._count, "countdistinct": self._countdistinct, "concat": self._concat,
            "concatws": self._concatws, "substring": self._substring, "replace": self._replace,
            "between": self._between, "dayofweek": self._dayofweek,
            "todecimal": self._todecimal, "tostring": self._tostring,
        }.get(name)  # fmt: skip

    def _args(self, arguments: tuple[Node, ...], *counts: int) -> list[str]:
        if len(arguments) not in counts:
            raise NoCounterpartError("a function has another number of arguments")
        return [self.sql(argument) for argument in arguments]

    def _iif(self, arguments: tuple[Node, ...]) -> str:
        given = self._args(arguments, 2, 3)
        other = given[2] if len(given) == 3 else "null"
        return f"case when {given[0]} then {given[1]} else {other} end"

    def _case(self, arguments: tuple[Node, ...]) -> str:
        given = [self.sql(argument) for argument in arguments]
        pairs = [f"when {given[i]} then {given[i + 1]}" for i in range(0, len(given) - 1, 2)]
        other = f" else {given[-1]}" if len(given) % 2 else ""
        return f"case {' '.join(pairs)}{other} end"

    def _isnull(self, arguments: tuple[Node, ...]) -> str:
        return f"({self._args(arguments, 1)[0]} is null)"

    def _not(self, arguments: tuple[Node, ...]) -> str:
        return f"(not {self._args(arguments, 1)[0]})"

    def _count(self, arguments: tuple[Node, ...]) -> str:
        return f"count({self._args(arguments, 1)[0]})" if arguments else "count(*)"

    def _countdistinct(self, arguments: tuple[Node, ...]) -> str:
        return f"count(distinct {self._args(arguments, 1)[0]})"

    def _concat(self, arguments: tuple[Node, ...]) -> str:
        return "(" + " || ".join(self.sql(argument) for argument in arguments) + ")"

    def _concatws(self, arguments: tuple[Node, ...]) -> str:
        return f"concat_ws({', '.join(self.sql(argument) for argument in arguments)})"

    def _substring(self, arguments: tuple[Node, ...]) -> str:
        return f"substring({', '.join(self._args(arguments, 2, 3))})"

    def _replace(self, arguments: tuple[Node, ...]) -> str:
        given = self._args(arguments, 2, 3)
        return f"replace({', '.join([*given, literal('')][:3])})"

    def _between(self, arguments: tuple[Node, ...]) -> str:
        value, low, high = self._args(arguments, 3)
        return f"({value} between {low} and {high})"

    def _dayofweek(self, arguments: tuple[Node, ...]) -> str:
        return f"(dayofweek({self._args(arguments, 1)[0]}) + 1)"

    def _todecimal(self, arguments: tuple[Node, ...]) -> str:
        given = self._args(arguments, 1, 3)
        size = f"{given[1]}, {given[2]}" if len(given) == 3 else "10, 0"
        return f"try_cast({given[0]} as decimal({size}))"

    def _tostring(self, arguments: tuple[Node, ...]) -> str:
        return f"cast({self._args(arguments, 1)[0]} as varchar)"


class Translation:
    """A script's streams as CTEs; the lines of each are in `ctes`."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.ctes: dict[str, str] = {}
        self.uses: dict[str, tuple[str, ...]] = {}

    def source(self, step: Step, table: str) -> None:
        """Add a source that reads a table."""
        columns = [column for argument in step.transformation.arguments
                   if isinstance(argument, Function) and argument.name == "output"
                   for column in argument.arguments]  # fmt: skip
        typed = [column for column in columns if isinstance(column, Typed)]
        if not typed or len(typed) != len(columns):
            raise NoCounterpartError("its source declares no columns, or nested ones")
        name = step.outputs[0]
        lines = [f"{_cast(declared)} as {quoted(declared.column)}" for declared in typed]
        fields = tuple(
            Field(declared.column, declared.column, declared.type == "string", name)
            for declared in typed
        )
        self._add(name, f"select {', '.join(lines)} from {table}", fields, ())

    def transform(self, step: Step) -> None:
        """Add a transformation. Raise NoCounterpartError."""
        kind = step.transformation.name
        method = {
            "select": self._select, "derive": self._derive, "filter": self._filter,
            "aggregate": self._aggregate, "join": self._join, "lookup": self._lookup,
            "exists": self._exists, "union": self._union, "sort": self._same,
            "window": self._window, "split": self._split, "alterRow": self._alter_row,
        }.get(kind)  # fmt: skip
        if method is None:
            raise NoCounterpartError(f"it has a transformation `{kind}`")
        for name in step.inputs:
            if name not in self.streams:
                raise NoCounterpartError(f"the stream `{name}` is unknown")
        method(step)

    def result(self, step: Step) -> str:
        """Return the whole query of a sink."""
        stream = self._mapped(self.streams[step.inputs[0]], step)
        names = [name for name, _ in stream]
        if len(set(map(str.lower, names))) != len(names):
            raise NoCounterpartError("its sink gets two columns of one name")
        last = step.inputs[0]
        needed: list[str] = []
        pending = [last]
        while pending:
            stream_name = pending.pop()
            needed.append(stream_name)
            pending.extend(self.uses[stream_name])
        ordered = [name for name in self.ctes if name in needed]
        withs = ",\n".join(
            f"{self.streams[name].cte} as (\n    {self.ctes[name]}\n)" for name in ordered
        )
        columns = ",\n    ".join(
            quoted(field.sql) if field.sql == name else f"{quoted(field.sql)} as {quoted(name)}"
            for name, field in stream
        )
        return f"with {withs}\nselect\n    {columns}\nfrom {self.streams[last].cte}"

    def _add(self, name: str, sql: str, fields: tuple[Field, ...], uses: tuple[str, ...]) -> None:
        cte = quoted(name) if name.lower() == "table" else quoted(name.replace("@", "_").lower())
        if any(stream.cte == cte for stream in self.streams.values()):
            raise NoCounterpartError("two of its streams have one name")
        self.streams[name] = Stream(cte, fields)
        self.ctes[name], self.uses[name] = sql, uses

    def _mapped(self, stream: Stream, step: Step) -> list[tuple[str, Field]]:
        """Return the columns that `mapColumn` keeps, with their new names; all without it."""
        mapped = [argument for argument in step.transformation.arguments
                  if isinstance(argument, Function) and argument.name == "mapColumn"]  # fmt: skip
        if not mapped:
            return [(field.name, field) for field in stream.fields]
        columns: list[tuple[str, Field]] = []
        for mapping in mapped[0].arguments:
            if isinstance(mapping, Column):
                columns.append((mapping.name, stream.find(mapping)))
            elif isinstance(mapping, Assigned) and isinstance(mapping.value, Column):
                columns.append((mapping.column, stream.find(mapping.value)))
            else:
                raise NoCounterpartError("it maps columns by a rule")
        return columns

    def _select(self, step: Step) -> None:
        stream = self.streams[step.inputs[0]]
        mapped = self._mapped(stream, step)
        columns = [
            f"{quoted(field.sql)} as {quoted(name)}" if field.sql != name else quoted(name)
            for name, field in mapped
        ]
        output = step.outputs[0]
        fields = tuple(Field(name, name, field.is_text, output) for name, field in mapped)
        if len({name for name, _ in mapped}) != len(mapped):
            raise NoCounterpartError("it gives two columns one name")
        self._add(output, f"select {', '.join(columns)} from {stream.cte}", fields, step.inputs)

    def _derive(self, step: Step) -> None:
        stream = self.streams[step.inputs[0]]
        expressions = Expressions((stream,))
        given = _assignments(step.transformation.arguments)
        computed = {assigned.column: expressions.sql(assigned.value) for assigned in given}
        texts = {assigned.column: expressions.is_text(assigned.value) for assigned in given}
        if len(computed) != len(given):
            raise NoCounterpartError("it derives a column twice")
        output = step.outputs[0]
        columns: list[str] = []
        fields: list[Field] = []
        for field in stream.fields:
            derived = computed.pop(field.name, None)
            columns.append(
                quoted(field.sql) if derived is None else f"{derived} as {quoted(field.sql)}"
            )
            is_text = field.is_text if derived is None else texts[field.name]
            fields.append(Field(field.name, field.sql, is_text, field.stream))
        for name, sql in computed.items():
            columns.append(f"{sql} as {quoted(name)}")
            fields.append(Field(name, name, texts[name], output))
        sql = f"select {', '.join(columns)} from {stream.cte}"
        self._add(output, sql, tuple(fields), step.inputs)

    def _filter(self, step: Step) -> None:
        stream = self.streams[step.inputs[0]]
        condition = Expressions((stream,)).sql(_positional(step)[0])
        sql = f"select * from {stream.cte} where {condition}"
        self._add(step.outputs[0], sql, stream.fields, step.inputs)

    def _same(self, step: Step) -> None:
        stream = self.streams[step.inputs[0]]
        self._add(step.outputs[0], f"select * from {stream.cte}", stream.fields, step.inputs)

    def _alter_row(self, step: Step) -> None:
        conditions = [rule for rule in step.transformation.arguments if isinstance(rule, Function)]
        if [rule.name for rule in conditions] != ["insertIf"] or conditions[0].arguments != (
            Function("true", ()),
        ):
            raise NoCounterpartError("it updates or deletes rows of its target (alterRow)")
        self._same(step)

    def _aggregate(self, step: Step) -> None:
        stream, output = self.streams[step.inputs[0]], step.outputs[0]
        expressions = Expressions((stream,))
        given = step.transformation.arguments
        groups = [
            argument
            for argument in given
            if isinstance(argument, Function) and argument.name == "groupBy"
        ]
        keys = [_key(argument) for argument in (groups[0].arguments if groups else ())]
        computed = _assignments(tuple(argument for argument in given if argument not in groups))
        columns = [f"{expressions.sql(o.value)} as {quoted(o.column)}" for o in [*keys, *computed]]
        fields = tuple(
            Field(assigned.column, assigned.column, expressions.is_text(assigned.value), output)
            for assigned in [*keys, *computed]
        )
        grouped = " group by " + ", ".join(map(str, range(1, len(keys) + 1))) if keys else ""
        sql = f"select {', '.join(columns)} from {stream.cte}{grouped}"
        self._add(output, sql, fields, step.inputs)

    def _join(self, step: Step) -> None:
        kind = option(step, "joinType") or "inner"
        if kind not in _JOINS:
            raise NoCounterpartError(f"it joins by `{kind}`")
        self._joined(step, _JOINS[kind])

    def _lookup(self, step: Step) -> None:
        if option(step, "multiple") != "true":
            raise NoCounterpartError("its lookup takes any one of several matching rows")
        self._joined(step, "left join")

    def _joined(self, step: Step, kind: str) -> None:
        left, right = (self.streams[name] for name in step.inputs)
        condition = self._condition(step)
        taken = {field.sql.lower() for field in left.fields}
        columns = [f"l.{quoted(field.sql)}" for field in left.fields]
        fields = [_of(field, step.inputs[0]) for field in left.fields]
        for field in right.fields:
            name = field.sql if field.sql.lower() not in taken else f"{step.inputs[1]}@{field.sql}"
            columns.append(
                f"r.{quoted(field.sql)} as {quoted(name)}"
                if name != field.sql
                else f"r.{quoted(name)}"
            )
            fields.append(Field(field.name, name, field.is_text, step.inputs[1]))
        joined = f"{left.cte} as l {kind} {right.cte} as r on {condition}"
        sql = f"select {', '.join(columns)} from {joined}"
        self._add(step.outputs[0], sql, tuple(fields), step.inputs)

    def _condition(self, step: Step) -> str:
        streams = tuple(
            Stream(stream.cte, tuple(_of(field, name) for field in stream.fields))
            for name, stream in ((name, self.streams[name]) for name in step.inputs)
        )
        return Expressions(streams, ("l", "r")).sql(_positional(step)[0])

    def _exists(self, step: Step) -> None:
        left, right = (self.streams[name] for name in step.inputs)
        word = "not exists" if option(step, "negate") == "true" else "exists"
        inner = f"select 1 from {right.cte} as r where {self._condition(step)}"
        sql = f"select * from {left.cte} as l where {word} ({inner})"
        self._add(step.outputs[0], sql, left.fields, step.inputs)

    def _union(self, step: Step) -> None:
        if option(step, "byName") != "true":
            raise NoCounterpartError("it unites rows by the position of columns")
        first = self.streams[step.inputs[0]]
        names = {field.name for field in first.fields}
        if any(
            {field.name for field in self.streams[name].fields} != names for name in step.inputs
        ):
            raise NoCounterpartError("it unites rows with different columns")
        sql = " union all by name ".join(
            f"select * from {self.streams[n].cte}" for n in step.inputs
        )
        self._add(step.outputs[0], sql, first.fields, step.inputs)

    def _window(self, step: Step) -> None:
        stream, output = self.streams[step.inputs[0]], step.outputs[0]
        over = self._over(step, Expressions((stream,)))
        columns, fields = ["*"], list(stream.fields)
        given = [
            argument for argument in step.transformation.arguments if isinstance(argument, Assigned)
        ]
        for assigned in _assignments(tuple(given)):
            function = assigned.value.name.lower() if isinstance(assigned.value, Function) else ""
            if function not in _RANKS:
                raise NoCounterpartError(f"it computes `{function}()` over a window")
            columns.append(f"{_RANKS[function]}() over ({over}) as {quoted(assigned.column)}")
            fields.append(Field(assigned.column, assigned.column, is_text=False, stream=output))
        sql = f"select {', '.join(columns)} from {stream.cte}"
        self._add(output, sql, tuple(fields), step.inputs)

    @staticmethod
    def _over(step: Step, expressions: Expressions) -> str:
        given = [
            argument for argument in step.transformation.arguments if isinstance(argument, Function)
        ]
        parts = {function.name: function.arguments for function in given}
        orders = [
            f"order by {expressions.sql(parts[sign][0])} {sign} nulls {nulls}"
            for sign, nulls in (("asc", "first"), ("desc", "last"))
            if sign in parts
        ]
        if len(orders) != 1:
            raise NoCounterpartError("its window isn't ordered by one column")
        keys = ", ".join(map(expressions.sql, parts.get("over", ())))
        return f"partition by {keys} {orders[0]}" if keys else orders[0]

    def _split(self, step: Step) -> None:
        stream = self.streams[step.inputs[0]]
        expressions = Expressions((stream,))
        conditions = [f"({expressions.sql(node)})" for node in _positional(step)]
        if len(step.outputs) != len(conditions) + 1 or option(step, "disjoint") == "true":
            raise NoCounterpartError("its split gives rows to several streams")
        before: list[str] = []
        for output, condition in zip(step.outputs, [*conditions, ""], strict=True):
            tests = [f"{earlier} is not true" for earlier in before] + (
                [condition] if condition else []
            )
            sql = f"select * from {stream.cte} where {' and '.join(tests)}"
            self._add(output, sql, stream.fields, step.inputs)
            before.append(condition)


def _key(node: Node) -> Assigned:
    if isinstance(node, Assigned):
        return node
    if isinstance(node, Column):
        return Assigned(node.name, node)
    raise NoCounterpartError("it groups by something other than columns")


def _cast(declared: Typed) -> str:
    kind = declared.type.lower()
    if kind.startswith("decimal("):
        return f"try_cast({quoted(declared.column)} as {kind})"
    if kind not in _TYPES:
        raise NoCounterpartError(f"its source has a column of the type `{declared.type}`")
    function = "cast" if kind == "string" else "try_cast"
    return f"{function}({quoted(declared.column)} as {_TYPES[kind]})"


def _of(field: Field, stream: str) -> Field:
    return Field(field.name, field.sql, field.is_text, stream)


def _positional(step: Step) -> list[Node]:
    conditions: list[Node] = [
        argument
        for argument in step.transformation.arguments
        if not isinstance(argument, Named | Assigned)
    ]
    if not conditions:
        raise NoCounterpartError("a transformation has no condition")
    return conditions


def _assignments(arguments: tuple[Node, ...]) -> list[Assigned]:
    given = [argument for argument in arguments if not isinstance(argument, Named)]
    assigned = [argument for argument in given if isinstance(argument, Assigned)]
    if len(assigned) != len(given) or not assigned:
        raise NoCounterpartError("it derives columns by a rule (`each`)")
    return assigned
