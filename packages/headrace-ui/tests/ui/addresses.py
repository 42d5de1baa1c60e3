"""The pages that every test of pages goes through, in whatever project: the one list. A new page is
a line here."""

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
    "/assets/{asset}?part=difference",
    "/assets/{asset}?part=history",
    "/assets/{asset}?part=lineage",
    "/assets/{asset}?part=preview",
    "/assets/{asset}?part=use",
    "/sources/{source}",
    "/graph",
    "/graph?mode=focus&root={asset}",
    "/graph?mode=blast&root={source}",
    "/graph?find={asset}",
    "/figures/promises",
    "/calendar",
    "/runs",
    "/runs?node={asset}&state=failed",
    "/runs?view=grid",
    "/runs/{run}",
    "/backfills",
    "/backfills/new",
    "/backfills/{plan}",
    "/contracts/{source}",
    "/plan",
    "/dev",
    "/approvals",
    "/approvals/{approval}",
    "/checks",
    "/use",
    "/bottleneck",
    "/complexity",
    "/sql",
    "/audit",
    "/wall",
)


class Things(NamedTuple):
    """What a project has to look at. An empty one has no page there."""

    asset: str
    source: str
    consumer: str
    incident: str
    run: str
    plan: str = ""
    approval: str = ""

    def named(self) -> dict[str, str]:
        """Name → address of the pages in this project; the name says what kind of page it is,
        whatever the project.
        """
        lacking = [f"{{{name}}}" for name, value in self._asdict().items() if not value]
        pages = [page for page in PAGES if not any(item in page for item in lacking)]
        return {_name(page): page.format(**self._asdict()) for page in pages}

    def pages(self) -> tuple[str, ...]:
        """Their addresses."""
        return tuple(self.named().values())


def _name(page: str) -> str:
    return re.sub(r"[^a-z]+", "-", page.lower()).strip("-") or "today"
