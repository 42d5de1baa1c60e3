"""The text of a statement without what doesn't matter: layout, comments, case of what isn't quoted.

Taken from tokens and not from a parsed tree, so that a newer sqlglot never changes the fingerprint of a body.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot.tokenizer_core import Token, TokenType

_QUOTED = {
    TokenType.STRING: "'",
    TokenType.NATIONAL_STRING: "n'",
    TokenType.BYTE_STRING: "e'",
    TokenType.RAW_STRING: "r'",
    TokenType.HEREDOC_STRING: "'",
    TokenType.IDENTIFIER: '"',
}


def normalised(tokens: Iterable[Token]) -> str:
    """One line; two texts that differ only in layout, comments, or case outside quotes give the same."""
    words = [_word(token) for token in tokens]
    while words and words[-1] == ";":
        words.pop()
    return " ".join(words)


def _word(token: Token) -> str:
    opening = _QUOTED.get(token.token_type)
    if opening is None:
        return token.text.lower()
    closing = opening[-1]
    return f"{opening}{token.text.replace(closing, closing * 2)}{closing}"
