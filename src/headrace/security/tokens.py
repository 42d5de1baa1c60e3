"""API tokens: `hdr_`, 43 random characters and a checksum of 6.

The prefix and the checksum let scanners of source code recognise a token without asking a server,
as GitHub's do (https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/).
A token has 256 random bits, so a plain SHA-256 of it can't be reversed by guessing. TRUST S8.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib

import msgspec

from headrace.model.access import Grant
from headrace.security.access import Identity, IdentityKind

PREFIX = "hdr_"
RANDOM_BYTES = 32
_CHECKSUM_DIGITS = 6
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = len(PREFIX) + 43 + _CHECKSUM_DIGITS
"""Number of characters of a token."""


def new_token() -> str:
    """Return a new random token."""
    body = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return body + _checksum(body)


def is_token(text: str) -> bool:
    """Whether a text has the form of a token, with the right checksum."""
    body = text[:-_CHECKSUM_DIGITS]
    return (
        len(text) == LENGTH
        and text.isascii()
        and text.startswith(PREFIX)
        and text[-_CHECKSUM_DIGITS:] == _checksum(body)
    )


def hash_of(token: str) -> str:
    """Return the stored hash of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def identity_of(name: str, grants: str) -> Identity:
    """Return the identity of a token with these grants, as `encoded_grants` wrote them."""
    return Identity(
        name=f"token:{name}",
        kind=IdentityKind.TOKEN,
        subjects=frozenset({f"token:{name}"}),
        grants=tuple(msgspec.json.decode(grants, type=list[Grant])),
    )


def encoded_grants(grants: list[Grant]) -> str:
    """Return a token's grants as JSON text."""
    return msgspec.json.encode(grants).decode()


def _checksum(body: str) -> str:
    """Return the CRC-32 of a text, written with base 62."""
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_DIGITS):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
