"""T-SQL as SQL of DuckDB: what means the same is rewritten, all else is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlglot import exp

VARCHAR_DEFAULT = 30
_EXAMPLES_MAX = 3
_WHOLE = (exp.DType.INT, exp.DType.BIGINT, exp.DType.SMALLINT, exp.DType.TINYINT,
          exp.DType.UTINYINT)  # fmt: skip
_FLOATS = (exp.DType.FLOAT, exp.DType.DOUBLE)
_TYPES = (*_WHOLE, *_FLOATS, exp.DType.DATE, exp.DType.DATETIME2, exp.DType.DECIMAL)
_TEXTS = (exp.Concat, exp.DPipe, exp.Upper, exp.Lower, exp.Substring, exp.Trim, exp.Left, exp.Right)
_MEMBERS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.In, exp.Between,
            exp.Nullif, exp.Group, exp.Order)  # fmt: skip
_SAME = (
    exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast, exp.Convert, exp.Length, exp.Upper,
    exp.Lower, exp.Trim, exp.Left, exp.Right, exp.Substring, exp.DateDiff, exp.TsOrDsDiff,
    exp.DateAdd, exp.TsOrDsAdd, exp.Extract, exp.Year, exp.Month, exp.Day, exp.LastDay, exp.Sum,
    exp.Min, exp.Max, exp.Avg, exp.Count, exp.Abs, exp.Sign, exp.Ceil, exp.Floor, exp.Round,
    exp.Exp, exp.Ln, exp.Exists, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead,
    exp.FirstValue, exp.LastValue, exp.And, exp.Or, exp.TsOrDsToDate, exp.TimeStrToTime,
)  # fmt: skip
"""Functions that mean the same in DuckDB, some of them once they are rewritten."""
_DIFF_UNITS = frozenset(("DAY", "MONTH", "QUARTER", "YEAR", "HOUR", "MINUTE", "SECOND"))
_ADD_UNITS = _DIFF_UNITS | {"WEEK"}
_PARTS = _DIFF_UNITS | {"DAYOFYEAR", "DOY"}
_HINTS = frozenset(("NOLOCK", "READUNCOMMITTED"))
_WHYS = {
    exp.StrPosition: "CHARINDEX ignores case in SQL Server, DuckDB doesn't",
    exp.Replace: "REPLACE ignores case in SQL Server, DuckDB doesn't",
    exp.Concat: "CONCAT writes dates and numbers in SQL Server's own format",
    exp.ConcatWs: "CONCAT_WS writes dates and numbers in SQL Server's own format",
    exp.TimeToStr: "it writes dates in a format of SQL Server",
    exp.NumberToStr: "it writes numbers in a format of SQL Server",
    exp.TryCast: "TRY_CAST and TRY_CONVERT accept other texts than DuckDB",
    exp.GroupConcat: "STRING_AGG has no certain order",
}


class DiffersError(Exception):
    """Why a query of T-SQL would mean something else in DuckDB."""


def check(query: exp.Expr) -> None:
    """Raise DiffersError for what would mean something else in DuckDB."""
    for node in query.walk():
        _check_function(node)
        for kind, checked in _CHECKS.items():
            if isinstance(node, kind):
                checked(node)


def _check_function(node: exp.Expr) -> None:
    for kind, why in _WHYS.items():
        if isinstance(node, kind):
            raise DiffersError(why)
    if isinstance(node, exp.Func) and not isinstance(node, (exp.Anonymous, *_SAME)):
        raise DiffersError(f"it calls `{node.sql_name()}()`, which may differ in DuckDB")


def _check_division(node: exp.Expr) -> None:
    assert isinstance(node, exp.Binary)
    if isinstance(node, exp.Div) and not (_is_float(node.left) or _is_float(node.right)):
        raise DiffersError(
            "it divides: SQL Server drops the remainder of whole numbers, and digits of others"
        )
    divisor = node.right.unnest()
    is_number = isinstance(divisor, exp.Literal) and float(divisor.name or 0) != 0
    is_guarded = isinstance(divisor, exp.Nullif) and divisor.expression.name == "0"
    if not is_number and not is_guarded:
        raise DiffersError("it divides by a value that may be zero, where SQL Server fails")


def _check_average(node: exp.Expr) -> None:
    if not _is_float(node.this):
        raise DiffersError(
            "it averages a column: SQL Server drops the remainder of whole numbers, and digits of"
            " others"
        )


def _check_addition(node: exp.Expr) -> None:
    values = [value.unnest() for value in node.flatten()]
    if not any(map(is_text, values)):
        return
    literals = [value for value in values if isinstance(value, exp.Literal)]
    if any(not text.is_string or text.name.strip(" +-.").isdigit() for text in literals):
        raise DiffersError("its `+` adds a text of digits: SQL Server may add them as numbers")


def _check_cast(node: exp.Expr) -> None:
    if isinstance(node, exp.Convert):
        if node.args.get("style") is not None:
            raise DiffersError("it converts by a style of CONVERT")
        if node.args.get("safe"):
            raise DiffersError(_WHYS[exp.TryCast])
    kind, value = _type_of(node)
    if kind.this in exp.DataType.TEXT_TYPES:
        is_fixed = kind.this in (exp.DType.CHAR, exp.DType.NCHAR)
        if not _is_implied(node) and (is_fixed or not is_text(value)):
            raise DiffersError("it writes values as text, which SQL Server does in its own format")
    elif kind.this not in _TYPES or _is_cut(kind):
        raise DiffersError(f"it converts to {kind.sql('tsql')}, which rounds in its own way")


def _is_implied(node: exp.Expr) -> bool:
    """Whether the parser added a conversion to text: it does so within LEN, LEFT and RIGHT."""
    within = isinstance(node.parent, exp.Length | exp.Left | exp.Right)
    return within and isinstance(node, exp.Cast) and node.to.this is exp.DType.TEXT


def _is_cut(kind: exp.DataType) -> bool:
    """Whether a point in time has fewer digits of its second than DuckDB's."""
    is_time = kind.this is exp.DType.DATETIME2 and bool(kind.expressions)
    return is_time and kind.expressions[0].name not in ("6", "7")


def _type_of(node: exp.Expr) -> tuple[exp.DataType, exp.Expr]:
    """Return the type that a CAST or CONVERT converts to, and the value."""
    if isinstance(node, exp.Convert):
        return node.this, node.expression
    return node.args["to"], node.this


def _check_default(node: exp.Expr) -> None:
    if not node.args.get("is_null"):
        return
    given = node.expressions[0].unnest()
    is_whole = isinstance(given, exp.Literal) and not given.is_string and given.name.isdigit()
    is_empty = isinstance(given, exp.Literal) and given.is_string and not given.name
    if not (is_whole or is_empty):
        raise DiffersError("ISNULL gives its second value the type and length of the first")


def _check_unit(units: frozenset[str], what: str) -> Callable[[exp.Expr], None]:
    def check_unit(node: exp.Expr) -> None:
        unit = node.this if isinstance(node, exp.Extract) else node.args.get("unit")
        if unit is not None and unit.name.upper() not in units:
            raise DiffersError(f"{what} by {unit.name.lower()} differs from SQL Server's in DuckDB")

    return check_unit


def _check_round(node: exp.Expr) -> None:
    if node.args.get("truncate") is not None:
        raise DiffersError("its ROUND cuts digits instead of rounding")


def _check_substring(node: exp.Expr) -> None:
    start = node.args.get("start")
    if not isinstance(start, exp.Literal) or not start.name.isdigit() or start.name == "0":
        raise DiffersError("its SUBSTRING begins at a position that may not be in the text")


def _check_like(node: exp.Expr) -> None:
    if "[" in node.expression.name or not isinstance(node.expression.unnest(), exp.Literal):
        raise DiffersError("its LIKE may have a set of signs (`[…]`), which DuckDB doesn't know")


def _check_limit(node: exp.Expr) -> None:
    options = node.args.get("limit_options")
    if options is not None and (options.args.get("percent") or options.args.get("with_ties")):
        raise DiffersError("it takes a share of rows, or rows with ties (TOP … PERCENT, WITH TIES)")


def _check_hint(node: exp.Expr) -> None:
    if any(hint.name.upper() not in _HINTS for hint in node.expressions):
        raise DiffersError(f"it has the hint {node.sql('tsql')}")


def _check_zone(node: exp.Expr) -> None:
    raise DiffersError(f"it uses {node.key.upper()}, which differs in DuckDB")


_CHECKS: dict[type[exp.Expr], Callable[[exp.Expr], None]] = {
    exp.Div: _check_division,
    exp.Mod: _check_division,
    exp.Avg: _check_average,
    exp.Add: _check_addition,
    exp.Cast: _check_cast,
    exp.Convert: _check_cast,
    exp.Coalesce: _check_default,
    exp.DateDiff: _check_unit(_DIFF_UNITS, "DATEDIFF"),
    exp.TsOrDsDiff: _check_unit(_DIFF_UNITS, "DATEDIFF"),
    exp.DateAdd: _check_unit(_ADD_UNITS, "DATEADD"),
    exp.TsOrDsAdd: _check_unit(_ADD_UNITS, "DATEADD"),
    exp.Extract: _check_unit(_PARTS, "DATEPART"),
    exp.Round: _check_round,
    exp.Substring: _check_substring,
    exp.Like: _check_like,
    exp.Limit: _check_limit,
    exp.Fetch: _check_limit,
    exp.WithTableHint: _check_hint,
    exp.AtTimeZone: _check_zone,
}


def _is_float(node: exp.Expr) -> bool:
    unnested = node.unnest()
    if isinstance(unnested, exp.Cast):
        return unnested.to.this in _FLOATS
    if isinstance(unnested, exp.Convert):
        return unnested.this.this in _FLOATS
    return isinstance(unnested, exp.Mul | exp.Div | exp.Sum | exp.Neg | exp.Add | exp.Sub) and any(
        _is_float(child) for child in unnested.iter_expressions()
    )


def is_text(node: exp.Expr) -> bool:
    """Whether a value certainly is text."""
    unnested = node.unnest()
    if isinstance(unnested, exp.Literal):
        return bool(unnested.is_string)
    if isinstance(unnested, exp.National):
        return True
    if isinstance(unnested, exp.Cast | exp.Convert):
        return _type_of(unnested)[0].this in exp.DataType.TEXT_TYPES
    return isinstance(unnested, _TEXTS) or (
        isinstance(unnested, exp.Coalesce) and any(map(is_text, unnested.expressions))
    )


def rewrite(query: exp.Expr) -> None:
    """Change a checked query so that DuckDB's SQL of it means the same."""
    texts = {id(add) for add in _text_additions(query)}
    for node in reversed(list(query.walk())):
        changed = _rewritten(node, is_text_addition=id(node) in texts)
        if changed is not node:
            node.replace(changed)


def _text_additions(query: exp.Expr) -> Iterator[exp.Expr]:
    """Yield each `+` that joins texts: one text makes texts of all that it is added to."""
    for add in query.find_all(exp.Add):
        if any(map(is_text, add.flatten())):
            pending: list[exp.Expr] = [add]
            while pending:
                node = pending.pop()
                if isinstance(node, exp.Add):
                    yield node
                    pending += [node.left, node.right]


def _rewritten(node: exp.Expr, *, is_text_addition: bool) -> exp.Expr:
    if isinstance(node, exp.National):
        return exp.Literal.string(node.name)
    if isinstance(node, exp.Length):
        trimmed = exp.Anonymous(this="rtrim", expressions=[node.this])
        return exp.Anonymous(this="length", expressions=[trimmed])
    if is_text_addition and isinstance(node, exp.Binary):
        return exp.DPipe(this=node.left, expression=node.right, safe=False)
    if isinstance(node, exp.Cast | exp.Convert) and not _is_implied(node):
        return _cast(*_type_of(node))
    return node


def _cast(kind: exp.DataType, value: exp.Expr) -> exp.Expr:
    size = kind.expressions[0].name if kind.expressions else ""
    if kind.this in exp.DataType.TEXT_TYPES:
        cut = exp.func("left", value, exp.Literal.number(size or VARCHAR_DEFAULT))
        return value if size.lower() == "max" else cut
    if kind.this in _WHOLE:
        whole = exp.func("trunc", exp.cast(value, "decimal(38, 9)"))
        return exp.cast(whole, "smallint" if kind.this is exp.DType.UTINYINT else kind.this)
    if kind.this in _FLOATS:
        return exp.cast(value, _float(size))
    return exp.cast(value, _others(kind))


def _float(size: str) -> exp.DType:
    return exp.DType.FLOAT if size.isdigit() and int(size) <= 24 else exp.DType.DOUBLE


def _others(kind: exp.DataType) -> exp.DataType:
    """Return the type of a decimal or a date in DuckDB."""
    if kind.this is exp.DType.DECIMAL and not kind.expressions:
        return exp.DataType.build("decimal(18, 0)")
    is_time = kind.this is exp.DType.DATETIME2
    return exp.DataType.build("timestamp") if is_time else kind


def collation_note(query: exp.Expr) -> str:
    """Return where a query compares what may be text, as a note; empty if it doesn't."""
    places = list(dict.fromkeys(_comparisons(query)))
    if not places:
        return ""
    listed = ", ".join(f"`{place}`" for place in places[:_EXAMPLES_MAX])
    more = f" and {len(places) - _EXAMPLES_MAX} more places" if len(places) > _EXAMPLES_MAX else ""
    return (
        "SQL Server's default collation compares text without regard to case and to spaces at its"
        f" end, DuckDB compares it exactly: check {listed}{more}, or use lower(rtrim(…)) there"
    )


def _comparisons(query: exp.Expr) -> Iterator[str]:
    for node in query.walk():
        if isinstance(node, _MEMBERS) and not any(map(_is_number, node.iter_expressions())):
            yield node.sql("tsql").strip()
        elif isinstance(node, exp.Distinct | exp.Min | exp.Max):
            counted = node.parent if isinstance(node.parent, exp.Count) else node
            yield counted.sql("tsql")
        elif isinstance(node, exp.SetOperation) and node.args.get("distinct"):
            yield node.key.upper()


def _is_number(node: exp.Expr) -> bool:
    """Whether a value certainly isn't text."""
    unnested = node.unnest()
    if isinstance(unnested, exp.Literal):
        return not unnested.is_string
    return isinstance(
        unnested,
        exp.Sum | exp.Count | exp.Avg | exp.Neg | exp.Year | exp.Month | exp.Day | exp.Length
        | exp.Parameter | exp.Placeholder,
    )  # fmt: skip
