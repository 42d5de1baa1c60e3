"""`range: {column: distance, min: 0, max: 5000}`: values lie between, both included. Null passes; NaN lies nowhere."""

from __future__ import annotations

from headrace.lake.session import quote
from headrace.model import CheckSpec
from headrace.quality.kinds import FLOATS, CheckUnusable, Measured, Subject, check_kind, rows, rows_breaking, value


@check_kind("range")
def range_(check: CheckSpec, subject: Subject) -> Measured:
    """Counted in the scan."""
    column = subject.column(check.arguments["column"])
    least, most = check.arguments.get("min"), check.arguments.get("max")
    column_type, name = subject.columns[column], quote(column)
    if column_type == "VARCHAR" and not all(isinstance(bound, str) for bound in (least, most) if bound is not None):
        raise CheckUnusable(
            f"column `{column}` is text, which numbers don't bound", hint="cast it in the body, or write the bounds as text"
        )
    bad = [f"{name} < {value(least, column_type)}"] if least is not None else []
    bad += [f"{name} > {value(most, column_type)}"] if most is not None else []
    bad += [f"isnan({name})"] if column_type in FLOATS else []
    return rows_breaking(
        check, " OR ".join(bad) or "false", lambda count: f"{column}: {rows(count)} {_outside(least, most)}", examples=column
    )


def _outside(least: object, most: object) -> str:
    if most is None:
        return f"below {least}"
    return f"above {most}" if least is None else f"outside {least} to {most}"
