"""Which forms of statements beside the query are followed: any other leaves its task."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlglot import exp

_CLAUSES: Mapping[type[exp.Expr], frozenset[str]] = {
    exp.Insert: frozenset(("this", "expression", "conflict", "overwrite", "partition", "with_")),
    exp.Create: frozenset(("this", "kind", "expression", "exists", "replace", "properties")),
    exp.Delete: frozenset(("this", "where")),
    exp.Merge: frozenset(("this", "using", "on", "whens")),
    exp.TruncateTable: frozenset(("expressions", "exists", "option")),
}
_PROPERTIES = (
    exp.TemporaryProperty, exp.MaterializedProperty, exp.TransientProperty, exp.Property,
    exp.SchemaCommentProperty, exp.PartitionedByProperty, exp.ClusteredByProperty,
    exp.FileFormatProperty, exp.DistKeyProperty, exp.SortKeyProperty, exp.DistStyleProperty,
    exp.EngineProperty, exp.UnloggedProperty,
)  # fmt: skip
"""Properties of a table that don't change its rows."""
_SETTINGS = re.compile(
    r"set\s+(local\s+|session\s+)?("
    r"(hive|mapred|mapreduce|tez|spark\.(sql\.shuffle|sql\.adaptive|executor|driver))\.[\w.]+"
    r"|\w*_?timeout|(maintenance_)?work_mem|client_min_messages|nocount|xact_abort|query_group"
    r"|wlm_\w+|autocommit|transaction|constraints|enable_\w+|jit|parallel\w*|max_parallel\w*"
    r")\b",
    re.IGNORECASE,
)
"""Settings that change how a statement runs, not what it means."""
_HARMLESS = re.compile(
    r"(begin|start\s+transaction|commit|end|use\s+(warehouse|role)\s|analyze|vacuum|grant\s"
    r"|comment\s+on|create\s+schema|show\s)",
    re.IGNORECASE,
)
_LOST = ("grant", "comment", "analyze", "vacuum")


def unknown_clause(statement: exp.Expr) -> str:
    """Return a clause that isn't followed, as SQL names it; empty for none."""
    followed = _CLAUSES.get(type(statement))
    if followed is None:
        return ""
    given = [key for key, value in statement.args.items() if value and key not in followed]
    properties = statement.args.get("properties")
    given += [
        type(part).__name__.removesuffix("Property")
        for part in (properties.expressions if properties is not None else ())
        if type(part) not in _PROPERTIES and not _keeps_rows(part)
    ]
    if "alternative" in given:
        return f"OR {statement.args['alternative']}".upper()
    return given[0].strip("_").replace("_", " ").upper() if given else ""


def _keeps_rows(part: exp.Expr) -> bool:
    """`WITH DATA`."""
    return isinstance(part, exp.WithDataProperty) and not part.args.get("no")


def what_is_lost(statement: exp.Expr) -> str | None:
    """Return what is lost without a statement that doesn't change what tables hold.

    Empty for nothing; None for a statement that may change it, or what others mean.
    """
    text = statement.sql().lstrip()
    match = _HARMLESS.match(text)
    if match is None:
        is_setting = _SETTINGS.match(text) is not None
        return "" if is_setting or isinstance(statement, exp.Transaction | exp.Commit) else None
    word = match.group(1).split()[0].lower()
    return f"`{word.upper()}` isn't carried" if word in _LOST else ""
