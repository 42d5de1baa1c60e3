"""What a run tells while it works, for whoever shows progress."""

from __future__ import annotations

from typing import Protocol

import msgspec


class News(msgspec.Struct, frozen=True, gc=False):
    """One partition came to something: `published`, `held`, `rejected`, `failed`, or is tried again (`waiting`)."""

    node: str
    partition: str
    state: str
    verdict: str | None
    reason: str
    rows: int | None = None
    runs: tuple[int, ...] = ()
    """The runs that want it."""


class Reporter(Protocol):
    """Takes news as they come; must return at once."""

    def __call__(self, news: News, /) -> None: ...


def silent(_: News) -> None:
    """A reporter that tells nobody."""
