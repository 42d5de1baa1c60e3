"""Passwords of local users: their rules, and their Argon2id hashes. TRUST S7, S8."""

from __future__ import annotations

import os
import unicodedata
from functools import cache

import argon2

from headrace.model import UsageError
from headrace.security.users import User

PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 1_000
_HASHER = argon2.PasswordHasher()
"""With RFC 9106's parameters for little memory: 64 MiB, 3 passes, 4 lanes."""


def password_hash(name: str, password: str) -> str:
    """Return the hash of a new password. Raises UsageError for one that is too weak or too long."""
    text = _normalized(password)
    if len(text) < PASSWORD_CHARACTERS_MIN or name.lower() in text.lower():
        raise UsageError(
            f"the password is too weak: at least {PASSWORD_CHARACTERS_MIN} characters,"
            " without the user's name",
            hint="a password manager or four random words make a good one",
        )
    if len(text) > PASSWORD_CHARACTERS_MAX:
        raise UsageError(f"the password is longer than {PASSWORD_CHARACTERS_MAX:,} characters")
    return _HASHER.hash(text)


def matches(user: User | None, password: str) -> bool:
    """Whether a password is that of a user. Without a user this takes as long, and is False."""
    text = _normalized(password)[:PASSWORD_CHARACTERS_MAX]
    expected = _nobodys_hash() if user is None else user.password_hash
    try:
        _HASHER.verify(expected, text)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return user is not None


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash(os.urandom(32).hex())


def _normalized(password: str) -> str:
    """Return one form of a password, whatever keyboard it was typed on."""
    return unicodedata.normalize("NFKC", password)
