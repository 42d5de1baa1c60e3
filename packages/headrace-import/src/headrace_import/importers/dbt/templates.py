"""Parsing of dbt's Jinja into jinja2's syntax tree; no template is ever compiled or rendered.

dbt's own blocks (`test`, `snapshot`, `materialization`) become macros with a prefix.
"""

from __future__ import annotations

import re
from functools import lru_cache

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

TEMPLATE_CHARACTERS_MAX = 1_000_000
TEST_PREFIX = "test_"
SNAPSHOT_PREFIX = "snapshot_"


class NotStatic(Exception):
    """A part of a template whose value can't be known without running dbt."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class Unreadable(NotStatic):
    """Text that isn't Jinja: dbt stops, too."""


class MissingNode(NotStatic):
    """A `ref` or `source` that the project doesn't have: dbt stops, too."""


class _Blocks(Extension):
    """`{% test name(args) %}`, `{% snapshot name %}` and `{% materialization name, … %}`."""

    tags = {"test", "data_test", "snapshot", "materialization"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> nodes.Node:
        """Return the block as a macro."""
        tag = next(parser.stream)
        kind = "test" if tag.value == "data_test" else tag.value
        node = nodes.Macro(lineno=tag.lineno)
        node.name = f"{kind}_{parser.stream.expect('name').value}"
        node.args, node.defaults = [], []
        if kind == "test":
            parser.parse_signature(node)
        while parser.stream.current.type != "block_end":
            next(parser.stream)
        node.body = parser.parse_statements((f"name:end{tag.value}",), drop_needle=True)
        return node


_ENVIRONMENT = Environment(extensions=["jinja2.ext.do", _Blocks])  # noqa: S701 (nothing is rendered)


@lru_cache(maxsize=4096)
def parse(text: str) -> nodes.Template:
    """Return the syntax tree of a template. Raise Unreadable if it isn't Jinja, NotStatic if it is
    too large."""
    if len(text) > TEMPLATE_CHARACTERS_MAX:
        raise NotStatic(f"it has more than {TEMPLATE_CHARACTERS_MAX:,} characters")
    try:
        return _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        raise Unreadable(f"its Jinja can't be parsed: {error.message}", error.lineno) from None
    except RecursionError:
        raise NotStatic("its Jinja is nested too deeply") from None


_COMMENT = re.compile(r"(?m)(^[ \t]*)?\{#-?(.*?)-?#\}([ \t]*$)?", re.DOTALL)


def with_sql_comments(text: str) -> str:
    """Return a template whose Jinja comments that fill whole lines are SQL comments.

    jinja2 drops comments; people want to keep them.
    """
    return _COMMENT.sub(_as_sql, text)


def _as_sql(match: re.Match[str]) -> str:
    before, body, after = match.groups()
    if before is None or after is None or re.search(r"\{[{%#]|[%#}]\}", body):
        return match[0]
    lines = [line.strip() for line in body.strip().splitlines()]
    return "\n".join(f"{before}-- {line}".rstrip() for line in lines) if any(lines) else match[0]


def macros_in(tree: nodes.Template) -> list[nodes.Macro]:
    """Return the macros that a file defines, with dbt's own blocks."""
    return list(tree.find_all(nodes.Macro))


def is_template(text: str) -> bool:
    """Return whether a text has any Jinja."""
    return "{{" in text or "{%" in text or "{#" in text
