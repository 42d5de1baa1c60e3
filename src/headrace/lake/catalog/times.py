"""Instants as DuckLake's SQLite catalog writes them: text in UTC, microseconds, `+00`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def snapshot_time(at_us: int) -> str:
    """`at_us` (microseconds since 1970 UTC) as catalog text. Always six digits, so that texts compare in time order."""
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f") + "+00"


def microseconds(text: str) -> int:
    """The reverse. Reads what DuckLake writes too (`2026-11-20 08:07:52.55291+00`, `2026-11-20 08:07:52+00`)."""
    at = datetime.fromisoformat(text[:-3] + "+00:00" if text.endswith("+00") else text)
    return (at - _EPOCH) // timedelta(microseconds=1)
