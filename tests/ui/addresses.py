"""The pages that every test of pages goes through, in whatever project: the one list. A new page is a line here."""

from __future__ import annotations

import re
from typing import NamedTuple

PAGES = (
    "/",
    "/incidents",
    "/incidents/{incident}",
    "/consumers",
    "/consumers/{consumer}",
    "/assets",
    "/assets/{asset}",
    "/assets/{asset}?part=checks",
    "/assets/{asset}?part=columns",
    "/assets/{asset}?part=lineage",
    "/assets/{asset}?part=preview",
    "/sources/{source}",
    "/graph",
    "/graph?mode=focus&root={asset}",
    "/graph?mode=blast&root={source}",
    "/figures/promises",
    "/runs",
    "/runs/{run}",
    "/backfills",
    "/backfills/{plan}",
)


class Things(NamedTuple):
    """What a project has to look at. An empty one has no page there."""

    asset: str
    source: str
    consumer: str
    incident: str
    run: str
    plan: str = ""

    def pages(self) -> tuple[str, ...]:
        """The pages' addresses in this project."""
        lacking = [f"{{{name}}}" for name, value in self._asdict().items() if not value]
        return tuple(page.format(**self._asdict()) for page in PAGES if not any(one in page for one in lacking))


def slug(page: str) -> str:
    """A page's name for a file."""
    return re.sub(r"[^a-z]+", "-", page.replace("{", "one-").lower()).strip("-") or "today"
