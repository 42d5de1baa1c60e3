"""The placeholder `$self` in a check's query, which stands for the staged rows.

Only the token is replaced, never text in strings, quoted names or comments.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      (?<![A-Za-z0-9_$])[eE]'(?:[^'\\]|\\.|'')*'            # E'text\n'
    | '(?:[^']|'')*'                                        # 'text'
    | "(?:[^"]|"")*"                                        # "name"
    | --[^\n]*                                              # comment
    | \$\$.*?\$\$                                           # $$text$$
    | \$(?P<tag>[A-Za-z_][A-Za-z_0-9]*)\$.*?\$(?P=tag)\$    # $tag$text$tag$
    | (?P<comment>/\*)
    | (?<![A-Za-z0-9_$])(?P<self>\$[sS][eE][lL][fF]\b)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def with_self(text: str, name: str) -> str:
    """Replace each `$self` outside strings, quoted names and comments by `name`, verbatim."""
    pieces, copied_until, at = [], 0, 0
    while (match := _TOKEN.search(text, at)) is not None:
        at = match.end()
        if match["comment"]:
            at = _comment_end(text, at)
        elif match["self"]:
            pieces += [text[copied_until : match.start()], name]
            copied_until = at
    return "".join([*pieces, text[copied_until:]])


def _comment_end(text: str, at: int) -> int:
    """Return the end of a comment whose content starts at `at`; comments nest, as in DuckDB."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(text, at)) is not None:
        depth += 1 if edge[0] == "/*" else -1
        at = edge.end()
    return at if depth == 0 else len(text)
