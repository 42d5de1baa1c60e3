"""Responses of `keys`."""

from __future__ import annotations

from datetime import datetime

from headrace.responses.base import Response


class KeyVersionRow(Response, frozen=True, kw_only=True):
    """A version of a domain's key. `state` is `current`, or `being replaced` by a rotation."""

    domain: str
    version: int
    state: str
    data_keys: int
    """The number of data keys that it encrypts."""
    root: str
    """The id of the root key that encrypts it; it doesn't give the key away."""
    created_at: datetime


class RevealedResponse(Response, frozen=True, kw_only=True):
    """The value behind a token, as the text that DuckDB writes for it."""

    column: str
    """`node.column`."""
    value: str


class KeyRotationRow(Response, frozen=True, kw_only=True):
    """A domain's new key, and the number of data keys that were encrypted with it again."""

    domain: str
    version: int
    data_keys: int
