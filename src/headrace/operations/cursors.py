"""Where a page of a list ends: opaque text that asks for the next one. It holds the place, not a number of rows, so that nothing is
left out or shown twice while rows come and go."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

import msgspec

from headrace.model import UsageError

T = TypeVar("T")


def cursor(place: Any) -> str:
    """The text for a place."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def place(text: str, kind: type[T]) -> T:
    """The place that a text stands for. UsageError for one that was never given."""
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise UsageError("this cursor was never given", hint="ask without one for the first page") from error
