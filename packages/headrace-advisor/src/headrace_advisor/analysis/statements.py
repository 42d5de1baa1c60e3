"""Text of SQL in any dialect as statements, with positions in the author's text.

Templates (Jinja, SqlRender) are replaced by names of the same length, so that every position in a
tree is one in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from headrace.extension import UsageError, did_you_mean
from headrace.sql.parsing import TEXT_CHARACTERS_MAX, TOKENS_MAX, InvalidSelect, check_depth

MARKED = frozenset(
    {
        TokenType.SELECT,
        TokenType.UNION,
        TokenType.EXCEPT,
        TokenType.INTERSECT,
        TokenType.JOIN,
        TokenType.ORDER_BY,
    }
)
"""Tokens whose nodes get the token's number, `meta["token"]`."""
_MARK = "\0token "
TEMPLATE_CHARACTER = "\ufffc"
"""What a template in a text is replaced by: the text isn't known."""

TEMPLATE_NAME = re.compile(r"_t\d+")
"""The name that stands for a template whose meaning isn't known."""

_REFERENCE = re.compile(
    r"""\{\{-?\s*(?:ref|source)\(\s*(?:['"][^'"]*['"]\s*,\s*)?['"]([A-Za-z_]\w*)['"]\s*\)\s*-?\}\}"""
)
_CONFIG = re.compile(r"\{\{-?\s*config\s*\(")
_SAME_MACRO = re.compile(
    r"\{\{-?\s*dbt_utils\.(?:generate_surrogate_key|surrogate_key)\(\s*(\[[^\]]*\])\s*\)\s*-?\}\}"
)
"""Macros of dbt that give the same value for the same columns."""
_TYPE = re.compile(
    r"\{\{-?\s*(?:dbt\.|dbt_utils\.)?type_"
    r"(string|int|bigint|float|numeric|boolean|timestamp)\(\s*\)\s*-?\}\}"
)
"""Macros of dbt that stand for types."""
_OPEN = re.compile(r"\{[#%{]")
_CLOSE = {"{#": re.compile("#}"), "{%": re.compile("%}"), "{{": re.compile("}}")}
_CLOSE_CONFIG = re.compile(r"\)\s*-?\}\}")
_QUOTES = re.compile(r"""'|"|--|/\*|\*/|\n""")
_ENDS = {"'": "'", '"': '"', "--": "\n", "/*": "*/"}
_RENDERED = re.compile(r"@(?=\w+(?:[.@]))|(?<=\w)@(?=\w)")
"""SqlRender's `@schema.table` and `@a@b`; a parameter of its own stays."""


class Statement(NamedTuple):
    """One statement of a text."""

    tree: exp.Expr
    text: str
    """The whole text, with templates replaced."""
    tokens: list[Token]
    """Tokens of the whole text."""
    dialect: str
    templates: tuple[str, ...] = ()
    """Parts of the author's text whose meaning isn't known."""
    start: int = 0
    """Where the statement begins in the text."""
    end: int = 0


class Unreadable(NamedTuple):
    """A statement that can't be read."""

    line: int
    message: str


def dialect_name(name: str) -> str:
    """Return sqlglot's name of a dialect. Raise UsageError for one that it doesn't have."""
    lowered = re.split(r"[/+]", name.strip().lower())[0]
    lowered = {"postgresql": "postgres", "sqlserver": "tsql", "mssql": "tsql"}.get(lowered, lowered)
    known = sorted(filter(None, sqlglot.Dialect.classes))
    if lowered not in known:
        raise UsageError(
            f"--dialect {name[:40]!r} isn't known",
            hint=did_you_mean(lowered, known) or f"one of {', '.join(known)}",
        )
    return lowered


def parse(text: str, dialect: str) -> tuple[list[Statement], list[Unreadable]]:
    """Return the statements of a text, and those that can't be read. Never raises."""
    plain, templates = _without_templates(text)
    parser = sqlglot.Dialect.get_or_raise(dialect)
    tokens = _tokens(plain, parser)
    if isinstance(tokens, Unreadable):
        return [], [tokens]
    statements: list[Statement] = []
    unreadable: list[Unreadable] = []
    for part in _parts(tokens):
        try:
            trees = parser.parser().parse(part, plain)
        except RecursionError:
            unreadable.append(Unreadable(part[0].line, "the statement is nested too deeply"))
        except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            # sqlglot's parser raises these instead of its own error for some malformed texts
            unreadable.append(Unreadable(part[0].line, _first_line(error)))
        else:
            for tree in filter(None, trees):
                _take_marks(tree)
                span = part[0].start, part[-1].end + 1
                statements.append(Statement(tree, plain, tokens, dialect, templates, *span))
    return statements, unreadable


def _tokens(plain: str, parser: sqlglot.Dialect) -> list[Token] | Unreadable:
    """Return the tokens of a text, with marks; or why it can't be read."""
    if len(plain) > TEXT_CHARACTERS_MAX:
        return Unreadable(1, f"the text has more than {TEXT_CHARACTERS_MAX:,} characters")
    try:
        tokens = parser.tokenize(plain)
        check_depth(tokens)
    except SqlglotError as error:
        return Unreadable(1, _first_line(error))
    except InvalidSelect as error:
        return Unreadable(error.line, error.message)
    if len(tokens) > TOKENS_MAX:
        return Unreadable(1, f"the text has more than {TOKENS_MAX:,} tokens")
    for number, token in enumerate(tokens):
        if token.token_type in MARKED:
            token.comments.append(f"{_MARK}{number}")
    return tokens


def _first_line(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if errors:
        return str(errors[0].get("description") or "it can't be read").split("\n")[0]
    return str(error).split("\n")[0][:200] or "it can't be read"


def _parts(tokens: list[Token]) -> Iterator[list[Token]]:
    part: list[Token] = []
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            if part:
                yield part
            part = []
        else:
            part.append(token)
    if part:
        yield part


def _take_marks(tree: exp.Expr) -> None:
    """Move the marks of tokens from comments, through which the parser hands them on, to `meta`."""
    for node in tree.walk():
        if not node.comments:
            continue
        marks = [comment for comment in node.comments if comment.startswith(_MARK)]
        if marks:
            node.meta["token"] = int(marks[0].removeprefix(_MARK))
            node.comments = [item for item in node.comments if not item.startswith(_MARK)] or None


def _without_templates(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the text with each template replaced by text of the same length."""
    plain = _RENDERED.sub("_", text)
    if plain.startswith("\ufeff"):
        plain = f" {plain[1:]}"
    pieces: list[str] = []
    unknown: list[str] = []
    within, at = "", 0
    for start, end in _templates(plain):
        within = _within(plain, at, start, within)
        pieces += [plain[at:start], _replaced(plain[start:end], within, unknown)]
        at = end
    return "".join([*pieces, plain[at:]]), tuple(unknown)


def _templates(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each template of Jinja begins and ends."""
    without_end: set[re.Pattern[str]] = set()
    position = 0
    while opening := _OPEN.search(text, position):
        config = _CONFIG.match(text, opening.start())
        close = _CLOSE[opening[0]] if config is None else _CLOSE_CONFIG
        closing = None if close in without_end else close.search(text, opening.end())
        if closing is None:
            without_end.add(close)
            position = opening.start() + 1
        else:
            yield opening.start(), closing.end()
            position = closing.end()


def _within(text: str, start: int, end: int, within: str) -> str:
    """Return how the quotes or the comment begins in which `end` is; empty outside of any.

    `within` says the same of `start`.
    """
    for match in _QUOTES.finditer(text, start, end):
        if not within:
            within = match[0] if match[0] in _ENDS else ""
        elif match[0] == _ENDS[within]:
            within = ""
    return within


def _replaced(template: str, within: str, unknown: list[str]) -> str:
    """Return text as long as a template; note in `unknown` one whose meaning isn't known."""
    if within in ("--", "/*") or template.startswith("{#") or _CONFIG.match(template):
        return _blank(template)
    if within == "'":
        return re.sub(r"[^\n]", TEMPLATE_CHARACTER, template)
    if reference := _REFERENCE.fullmatch(template):
        return reference[1] + _blank(template)[len(reference[1]) :]
    if macro := _SAME_MACRO.fullmatch(template):
        return _call(template, macro[1])
    if type_ := _TYPE.fullmatch(template):
        name = {"string": "varchar"}.get(type_[1], type_[1])
        return name + _blank(template)[len(name) :]
    unknown.append(" ".join(template.split()))
    if template.startswith("{%"):
        return _blank(template)
    name = f"_t{len(unknown)}"[: len(template)]
    return name + _blank(template)[len(name) :]


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _call(template: str, columns: str) -> str:
    """Return a call of a hash function of the columns that a macro names, in as many characters."""
    names = re.findall(r"['\"](\w+)['\"]", columns)
    call = f"md5(concat({','.join(names)}))"
    return call + _blank(template)[len(call) :]
