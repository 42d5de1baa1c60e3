"""EXISTS in place of a join that only asks whether there is a match."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from headrace_advisor.analysis.advice import Edit
from headrace_advisor.analysis.edits import (
    AFTER_WHERE,
    Span,
    block,
    from_end,
    join_span,
    outer_tokens,
    remove_distinct,
    remove_tokens,
)
from headrace_advisor.analysis.from_items import Item
from headrace_advisor.analysis.selects import SelectScope
from headrace_advisor.analysis.statements import Statement
from headrace_advisor.analysis.used_items import has_open_star, is_used

_MATTERS = ("qualify", "sample", "windows", "pivots", "laterals", "limit", "offset", "connect")
"""Clauses with which it matters how often a row is there before DISTINCT."""


def exists_instead(statement: Statement, scope: SelectScope, item: Item) -> tuple[Edit, ...]:
    """Return the edits that ask for a match of `item` by EXISTS, and take DISTINCT out.

    Empty if the query uses the item otherwise, or if the text can't be edited. Whether the rows are
    distinct without DISTINCT is the caller's to prove.
    """
    join, select = item.join, scope.select
    if join is None or not _only_filters(scope, item):
        return ()
    span, end = join_span(statement, join), from_end(statement, select)
    distinct = remove_distinct(statement, select)
    if span is None or end is None or not distinct:
        return ()
    asked = _asked(statement, span)
    edits = (
        *distinct,
        remove_tokens(statement, span),
        *_added(statement, select, span, end, asked),
    )
    texts = [statement.text[edit.start : edit.end] for edit in edits]
    return edits if asked and not any("--" in text or "/*" in text for text in texts) else ()


def _only_filters(scope: SelectScope, item: Item) -> bool:
    """Whether an inner join with a condition is used for nothing but the rows that it keeps."""
    select, join = scope.select, item.join
    if join is None or join.args.get("on") is None or join.args.get("using"):
        return False
    plain = not (join.side or join.method or join.kind not in ("", "INNER"))
    others = any(other.side in ("RIGHT", "FULL") for other in scope.items)
    if not plain or others or item.nullable or not isinstance(item.node, exp.Table):
        return False
    counted = any(map(select.args.get, _MATTERS)) or item.node.args.get("sample")
    windows = any(part.find(exp.Window) is not None for part in select.expressions)
    if counted or windows or has_open_star(scope):
        return False
    return not is_used(select, scope, item)


def _asked(statement: Statement, span: Span) -> str:
    """Return the condition as EXISTS, from the text of the join; empty if it can't be read."""
    tokens, text = statement.tokens, statement.text
    outer = list(outer_tokens(statement, span))
    begins = [number for number, token in outer if token.token_type is TokenType.JOIN]
    ons = [number for number, token in outer if token.token_type is TokenType.ON]
    if len(begins) != 1 or len(ons) != 1 or ons[0] + 1 >= span.last:
        return ""
    table = text[tokens[begins[0] + 1].start : tokens[ons[0] - 1].end + 1]
    condition = text[tokens[ons[0] + 1].start : tokens[span.last - 1].end + 1]
    return f"exists (select 1 from {table} where {condition})"


def _added(
    statement: Statement, select: exp.Expr, span: Span, end: int, asked: str
) -> tuple[Edit, ...]:
    """Return the edits that add a condition to the query: to its WHERE, or as a new one."""
    tokens, text = statement.tokens, statement.text
    if end < len(tokens) and tokens[end].token_type is TokenType.WHERE:
        whole = block(statement, select)
        last = len(tokens) if whole is None else whole.last
        first, until = end + 1, last
        for number, token in outer_tokens(statement, Span(end + 1, last)):
            if token.token_type in AFTER_WHERE:
                until = number
                break
        start, stop = tokens[first].start, tokens[until - 1].end + 1
        return Edit(start, start, "("), Edit(stop, stop, f") and {asked}")
    stop = tokens[end - 1].end + 1
    gap = text[tokens[span.first - 1].end + 1 : tokens[span.first].start]
    return (Edit(stop, stop, f"{gap if gap.isspace() else ' '}where {asked}"),)
