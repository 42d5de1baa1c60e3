"""Signed texts in links: which recipient a link was made for, and what it is about.

A link consists of its recipient and an HMAC-SHA-256 over recipient and subject. It holds no secret
and gives no right: it says which message somebody follows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence

LENGTH_MAX = 1_000


def signed_link(key: bytes, recipient: str, about: Sequence[str | int | None]) -> str:
    """Return the text of a link for a recipient; `about` is what it points to."""
    return f"{_encoded(recipient.encode())}.{_encoded(_mark(key, recipient, about))}"


def recipient_of(key: bytes, link: str, about: Sequence[str | int | None]) -> str | None:
    """Return for whom a link was made; None if it isn't about that, or was changed."""
    if len(link) > LENGTH_MAX or not link.isascii():
        return None
    try:
        recipient = _decoded(link.partition(".")[0]).decode()
    except ValueError:
        return None
    return recipient if hmac.compare_digest(link, signed_link(key, recipient, about)) else None


def _mark(key: bytes, recipient: str, about: Sequence[str | int | None]) -> bytes:
    text = json.dumps([recipient, *about], separators=(",", ":"))
    return hmac.digest(key, text.encode(), hashlib.sha256)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
