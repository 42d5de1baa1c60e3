"""Transformations of mapping data flows as SQL of DuckDB, where they mean the same."""

from __future__ import annotations

from dataclasses import replace

from headrace_import.importers.adf.dataflow_expressions import (
    Expressions,
    Field,
    NoCounterpartError,
    Stream,
    quoted,
)
from headrace_import.importers.adf.dataflow_script import (
    Assigned,
    Column,
    Function,
    Named,
    Node,
    Step,
    Typed,
    option,
)
from headrace_import.importers.sql_guard import wrong_in_duckdb

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
_RANKS = {"rownumber": "row_number", "rank": "rank", "denserank": "dense_rank"}
_JOINS = {"inner": "join", "left": "left join", "right": "right join", "outer": "full join"}
_INPUTS = {"join": 2, "lookup": 2, "exists": 2, "select": 1, "derive": 1, "filter": 1, "sort": 1,
           "aggregate": 1, "window": 1, "split": 1, "alterRow": 1}  # fmt: skip
_OPTIONS: dict[str, tuple[str, ...]] = {
    "broadcast": (),
    "partitionBy": (),
    "partitionLevel": (),
    "skipDuplicateMapInputs": (),
    "skipDuplicateMapOutputs": (),
    "joinType": (),
    "matchType": ("exact",),
    "ignoreSpaces": ("false",),
    "caseInsensitive": ("false",),
    "multiple": (),
    "negate": (),
    "byName": (),
    "disjoint": (),
}
"""Options of transformations that are understood, with their values where only some are."""


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
        if len(step.inputs) != _INPUTS.get(kind, len(step.inputs) or 1):
            raise NoCounterpartError(f"a transformation `{kind}` has {len(step.inputs)} inputs")
        method(_without_hints(step))

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
        query = f"with {withs}\nselect\n    {columns}\nfrom {self.streams[last].cte}"
        if wrong := wrong_in_duckdb(query):
            raise NoCounterpartError(wrong)
        return query

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
        if len(parts) != len(given) or not parts.keys() <= {"over", "asc", "desc"}:
            raise NoCounterpartError("its window isn't ordered by one column")
        orders = [
            f"order by {expressions.sql(parts[sign][0])} {sign} nulls {_nulls(parts[sign])}"
            for sign in ("asc", "desc")
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


def _without_hints(step: Step) -> Step:
    """Return a step without its partitioning. Raise NoCounterpartError for an unknown option."""
    for argument in step.transformation.arguments:
        if isinstance(argument, Named):
            allowed = _OPTIONS.get(argument.key)
            if allowed is None or (allowed and option(step, argument.key) not in allowed):
                raise NoCounterpartError(f"it has the option `{argument.key}`")
    arguments = tuple(
        argument
        for argument in step.transformation.arguments
        if not (isinstance(argument, Function) and argument.name == "partitionBy")
    )
    return replace(step, transformation=replace(step.transformation, arguments=arguments))


def _nulls(arguments: tuple[Node, ...]) -> str:
    """Return where an order puts nulls: its second argument says whether they come first."""
    if len(arguments) < 2:
        raise NoCounterpartError("its window doesn't say where it puts nulls")
    first = getattr(arguments[1], "name", "")
    if first not in ("true", "false"):
        raise NoCounterpartError("its window doesn't say where it puts nulls")
    return "first" if first == "true" else "last"


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
    if any(argument.column.startswith((":", "$")) or not argument.column for argument in assigned):
        raise NoCounterpartError("it uses local variables, or a column without a name")
    return assigned
