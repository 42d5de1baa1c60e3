"""Edits of an author's text by the positions of tokens: the rest of the text stays as it is."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from headrace_advisor.analysis.advice import Edit
from headrace_advisor.analysis.statements import Statement

_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_SET_OPERATORS = {TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT}
_JOIN_STARTS = {
    TokenType.JOIN,
    TokenType.LEFT,
    TokenType.RIGHT,
    TokenType.FULL,
    TokenType.INNER,
    TokenType.OUTER,
    TokenType.CROSS,
    TokenType.NATURAL,
    TokenType.ASOF,
    TokenType.SEMI,
    TokenType.ANTI,
    TokenType.COMMA,
}
AFTER_WHERE = {
    TokenType.GROUP_BY,
    TokenType.HAVING,
    TokenType.QUALIFY,
    TokenType.WINDOW,
    TokenType.ORDER_BY,
    TokenType.LIMIT,
    TokenType.OFFSET,
    TokenType.FETCH,
}
_AFTER_FROM = {
    TokenType.LATERAL,
    TokenType.TABLE_SAMPLE,
    TokenType.PIVOT,
    TokenType.UNPIVOT,
    TokenType.FOR,
    TokenType.CLUSTER_BY,
    TokenType.DISTRIBUTE_BY,
    TokenType.SORT_BY,
    TokenType.CONNECT_BY,
    TokenType.START_WITH,
    TokenType.SETTINGS,
    TokenType.FORMAT,
    TokenType.WHERE,
    *AFTER_WHERE,
}


class Span(NamedTuple):
    """Numbers of tokens, the last one excluded."""

    first: int
    last: int


def select_token(node: exp.Expr) -> int | None:
    """Return the number of the token that a node begins with; None if it isn't known."""
    number = node.meta.get("token")
    return number if isinstance(number, int) else None


def position(statement: Statement, node: exp.Expr) -> int:
    """Return where a node begins in the text: its keyword, or its first name."""
    number = select_token(node)
    if number is not None:
        return statement.tokens[number].start
    starts = [part.meta["start"] for part in node.walk() if isinstance(part.meta.get("start"), int)]
    return min(starts, default=0)


def block(statement: Statement, select: exp.Expr) -> Span | None:
    """Return the tokens of a SELECT from its keyword to its last clause."""
    first = select_token(select)
    if first is None:
        return None
    for number, token in _outer(statement.tokens, first):
        if token is None or token.token_type in _SET_OPERATORS | {TokenType.SEMICOLON}:
            return Span(first, number)
    return Span(first, len(statement.tokens))


def _outer(tokens: list[Token], first: int) -> Iterator[tuple[int, Token | None]]:
    """Yield the tokens outside of brackets from one on, and None for the bracket that ends it."""
    depth = 0
    for number in range(first, len(tokens)):
        kind = tokens[number].token_type
        if kind in _CLOSE:
            depth -= 1
            if depth < 0:
                yield number, None
                return
        elif depth == 0 and kind not in _OPEN and not _is_after_dot(tokens, number):
            yield number, tokens[number]
        if kind in _OPEN:
            depth += 1


def _is_after_dot(tokens: list[Token], number: int) -> bool:
    """Whether a token is a name, whatever word it is: `format` in `t.format`."""
    return number > 0 and tokens[number - 1].token_type is TokenType.DOT


def remove_distinct(statement: Statement, select: exp.Expr) -> tuple[Edit, ...]:
    """Return the edit that takes DISTINCT out of a SELECT; empty if the text can't be edited."""
    first = select_token(select)
    tokens = statement.tokens
    if first is None or first + 2 >= len(tokens):
        return ()
    token = tokens[first + 1]
    if token.token_type is not TokenType.DISTINCT:
        return ()
    return (_without(statement.text, token.start, tokens[first + 2].start),)


def remove_inner_distinct(statement: Statement, value: exp.Expr) -> tuple[Edit, ...]:
    """Return the edit that takes out the DISTINCT before a value of an aggregate.

    Empty if another word stands before it.
    """
    start, tokens = position(statement, value), statement.tokens
    number = bisect_left(tokens, start, key=lambda token: token.start)
    before = tokens[number - 1] if 0 < number < len(tokens) else None
    if before is None or before.token_type is not TokenType.DISTINCT:
        return ()
    return (_without(statement.text, before.start, start),)


def _without(text: str, start: int, until: int) -> Edit:
    """Return the edit that takes a word out, with the spaces behind it on its line."""
    end = start
    while end < until and not text[end].isspace():
        end += 1
    while end < until and text[end] in " \t":
        end += 1
    if end < len(text) and text[end] == "\n":  # nothing else follows on its line
        while start > 0 and text[start - 1] in " \t":
            start -= 1
    return Edit(start, end, "")


def union_all(statement: Statement, operations: Iterable[exp.Expr]) -> tuple[Edit, ...]:
    """Return the edits that make UNION ALL of each UNION; empty if the text can't be edited."""
    edits = []
    for operation in operations:
        number = select_token(operation)
        if number is None:
            return ()
        token, after = statement.tokens[number], statement.tokens[number + 1]
        upper = statement.text[token.start : token.end + 1].isupper()
        word = " ALL" if upper else " all"
        if after.token_type is TokenType.DISTINCT:
            edits.append(Edit(after.start, after.end + 1, word.strip()))
        else:
            edits.append(Edit(token.end + 1, token.end + 1, word))
    return tuple(edits)


def remove_order(statement: Statement, order: exp.Expr) -> tuple[Edit, ...]:
    """Return the edit that takes an ORDER BY out; empty if the text can't be edited."""
    first = select_token(order)
    if first is None:
        return ()
    last = len(statement.tokens)
    for number, token in _outer(statement.tokens, first + 1):
        ends = _AFTER_FROM | _SET_OPERATORS | {TokenType.SEMICOLON}
        if token is None or token.token_type in ends:
            last = number
            break
    return (remove_tokens(statement, Span(first, last)),)


def remove_tokens(statement: Statement, span: Span) -> Edit:
    """Return the edit that takes tokens out, with the space before them."""
    text, tokens = statement.text, statement.tokens
    start, end = tokens[span.first].start, tokens[span.last - 1].end + 1
    while start > 0 and text[start - 1].isspace():
        start -= 1
    before = tokens[span.first - 1].end + 1 if span.first else 0
    if "--" in text[before:start]:  # a comment ends with its line
        start = tokens[span.first].start
    return Edit(start, end, "")


def projections(statement: Statement, select: exp.Select) -> list[Span]:
    """Return the tokens of each item of a SELECT list; empty if they can't be told apart."""
    span = block(statement, select)
    if span is None:
        return []
    first = span.first + 1
    if statement.tokens[first].token_type is TokenType.DISTINCT:
        first += 1
    items, begin, end = [], first, span.last
    before = None
    for number, token in _outer(statement.tokens, first):
        if number >= span.last or token is None:
            break
        if token.token_type is TokenType.FROM and not _is_distinct_from(before):
            end = number
            break
        if token.token_type is TokenType.COMMA:
            items.append(Span(begin, number))
            begin = number + 1
        before = token
    items.append(Span(begin, end))
    return items if len(items) == len(select.expressions) else []


def _is_distinct_from(before: Token | None) -> bool:
    return before is not None and before.token_type is TokenType.DISTINCT


def remove_projections(
    statement: Statement, select: exp.Select, numbers: set[int]
) -> tuple[Edit, ...]:
    """Return the edits that take items out of a SELECT list; empty if that isn't possible."""
    spans = projections(statement, select)
    if not spans or len(numbers) >= len(spans):
        return ()
    edits = []
    text, tokens = statement.text, statement.tokens
    remaining = [number for number in range(len(spans)) if number not in numbers]
    for number in sorted(numbers):
        if number > remaining[0]:  # with the comma before it
            edits.append(
                remove_tokens(statement, Span(spans[number].first - 1, spans[number].last))
            )
        else:
            after = tokens[spans[number].last + 1].start
            edits.append(Edit(tokens[spans[number].first].start, after, ""))
    return tuple(edits) if all("--" not in text[e.start : e.end] for e in edits) else ()


def remove_join(statement: Statement, join: exp.Join) -> tuple[Edit, ...]:
    """Return the edit that takes a join with its condition out; empty if that isn't possible."""
    span = join_span(statement, join)
    return () if span is None else (remove_tokens(statement, span),)


def join_span(statement: Statement, join: exp.Join) -> Span | None:
    """Return the tokens of a join with its condition; None if they aren't known."""
    first = select_token(join)
    if first is None:
        return None
    tokens = statement.tokens
    begin = first
    while tokens[begin - 1].token_type in _JOIN_STARTS - {TokenType.COMMA, TokenType.JOIN}:
        begin -= 1
    last = len(tokens)
    # JOIN LATERAL (…): this LATERAL doesn't end the join, as LATERAL VIEW does
    is_lateral = tokens[first + 1].token_type is TokenType.LATERAL
    for number, token in _outer(tokens, first + 2 if is_lateral else first + 1):
        ends = _AFTER_FROM | _SET_OPERATORS | _JOIN_STARTS | {TokenType.SEMICOLON}
        if token is None or token.token_type in ends:
            last = number
            break
    return Span(begin, last)


def outer_tokens(statement: Statement, span: Span) -> Iterator[tuple[int, Token]]:
    """Yield the tokens of a span that are outside of brackets, with their numbers."""
    for number, token in _outer(statement.tokens, span.first):
        if token is None or number >= span.last:
            return
        yield number, token


def from_end(statement: Statement, select: exp.Expr) -> int | None:
    """Return the number of the token after FROM with its joins; None if it isn't known."""
    span = block(statement, select)
    if span is None:
        return None
    begun = False
    for number, token in outer_tokens(statement, span):
        begun = begun or token.token_type is TokenType.FROM
        if begun and token.token_type in _AFTER_FROM:
            return number
    return span.last


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the text after edits that don't overlap."""
    pieces, at = [], 0
    for edit in sorted(edits):
        pieces += [text[at : edit.start], edit.replacement]
        at = edit.end
    return "".join([*pieces, text[at:]])


def unified_diff(path: str, text: str, edits: Sequence[Edit]) -> str:
    """Return edits of a text as a unified diff that `git apply` and `patch -p1` accept."""
    path = path.lstrip("/")
    first, last = min(edits).start, max(edit.end for edit in edits)
    # only the lines around the edits are compared: a file may be long
    start = _lines_before(text, first, _CONTEXT)
    end = _lines_after(text, last, _CONTEXT)
    moved = [Edit(edit.start - start, edit.end - start, edit.replacement) for edit in edits]
    before = text[start:end]
    skipped = text.count("\n", 0, start)
    lines = difflib.unified_diff(
        _lines(before), _lines(edited(before, moved)), f"a/{path}", f"b/{path}", n=_CONTEXT
    )
    return "".join(_diff_line(line, skipped) for line in lines)


_CONTEXT = 3
_HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")


def _lines_before(text: str, position: int, number: int) -> int:
    for _ in range(number + 1):
        position = text.rfind("\n", 0, max(position, 0))
    return position + 1


def _lines_after(text: str, position: int, number: int) -> int:
    for _ in range(number + 1):
        end = text.find("\n", position)
        if end < 0:
            return len(text)
        position = end + 1
    return position


def _lines(text: str) -> list[str]:
    """Return lines as `git apply` and `patch` count them: by line feeds only."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _diff_line(line: str, skipped: int) -> str:
    hunk = _HUNK.match(line)
    if hunk is not None:
        before, after = int(hunk[1]) + skipped, int(hunk[3]) + skipped
        return f"@@ -{before}{hunk[2] or ''} +{after}{hunk[4] or ''} @@\n"
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
