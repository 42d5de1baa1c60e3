"""API tokens: their form, their checksum, and what is stored of them (TRUST S8)."""

from __future__ import annotations

import hashlib

from headrace.model.access import Grant, Role, Scope
from headrace.security.tokens import (
    LENGTH,
    encoded_grants,
    hash_of,
    identity_of,
    is_token,
    new_token,
)


def test_a_token_has_a_prefix_and_a_checksum() -> None:
    """Would catch: a token that a scanner of source code doesn't recognise, or a typo that reaches
    the state."""
    token = new_token()
    assert token.startswith("hdr_") and len(token) == LENGTH == 53
    assert is_token(token) and new_token() != token
    for position in (4, 20, 46, 50):
        other = "A" if token[position] != "A" else "B"
        assert not is_token(token[:position] + other + token[position + 1 :])
    for text in ("", "hdr_", token[:-1], token + "x", token.replace("hdr_", "ghp_"), "é" * LENGTH):
        assert not is_token(text)


def test_only_the_hash_is_stored_and_grants_come_back() -> None:
    """Would catch: a token that the state gives away, or roles that change on the way."""
    token = new_token()
    assert hash_of(token) == hashlib.sha256(token.encode()).hexdigest()
    grant = Grant(role=Role.OPERATOR, to=("token:ci",), scope=Scope(domain=("finance",)))
    identity = identity_of("ci", encoded_grants([grant]))
    assert identity.who == "token:ci" and identity.grants == (grant,)
