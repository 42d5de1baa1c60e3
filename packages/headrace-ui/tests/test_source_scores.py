"""The scores of a source by week: each is the number of `status --explain sources` at that time."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from serve_lab import deliver, headrace, project, response, write

from headrace.model import UnknownName
from headrace.project.session import ProjectSession
from headrace_ui.responses.trends import SourceScoresResponse
from headrace_ui.services.source_scores import WEEKS, source_scores

FIRST = date(2025, 1, 1)


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def explained(root: Path, now: str) -> tuple[float | None, float | None]:
    """The scores of `orders` as the page's figures say them."""
    (row,) = response(root, "status", "--explain", "sources", "--now", now)["rows"]
    stability, quality = (row[name] and float(row[name]) for name in ("stability", "quality"))
    return stability, quality


def scores(root: Path) -> SourceScoresResponse:
    return source_scores(ProjectSession(root, "prod", None, "t"), "orders")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = project(tmp_path / "shop")
    source = root / "sources/orders.yaml"
    write(source, source.read_text() + "expect: {by: '05:00'}\n")
    return root


def test_each_week_has_the_score_that_was_said_at_its_end(shop: Path) -> None:
    """Would catch: a window that is a day off, a last one that isn't the number beside the chart,
    and a score of a few deliveries."""
    said = {}
    for last, deliveries in ((10, range(9)), (17, range(9, 16))):
        for number in deliveries:
            if number != 12:  # never comes
                deliver(shop, day(number))
        headrace(shop, "tick", "--now", f"{day(last)}T04:00")
        said[day(last)] = explained(shop, f"{day(last + 1)}T00:00")
    headrace(shop, "tick", "--now", f"{day(24)}T08:00")
    said[day(24)] = explained(shop, f"{day(24)}T08:00")
    scored = scores(shop)
    points = {point.date: (point.stability, point.quality) for point in scored.points}
    assert len(points) == len(scored.points) == WEEKS
    assert said.items() <= points.items()
    assert said[day(10)] == (None, None)
    assert None not in {*said[day(17)], *said[day(24)]}
    assert said[day(17)] != said[day(24)]
    assert scored.points[-1].date == day(24)


def test_nothing_is_scored_before_the_first_run_and_of_no_asset(shop: Path) -> None:
    """Would catch: a line of zeros on the first day, and an asset taken for a source."""
    assert scores(shop).points == []
    with pytest.raises(UnknownName):
        source_scores(ProjectSession(shop, "prod", None, "t"), "revenue")


def test_no_score_where_retention_took_a_part_of_the_window(shop: Path) -> None:
    """Would catch: a source that seems worse because its earlier deliveries were removed."""
    for number in range(40):
        deliver(shop, day(number))
    headrace(shop, "tick", "--now", f"{day(12)}T04:00")
    headrace(shop, "tick", "--now", f"{day(40)}T04:00")
    scored = [point.stability for point in scores(shop).points]
    assert [value is None for value in scored] == [True] * 8 + [False] * 5
    settings = shop / "headrace.toml"
    write(settings, settings.read_text() + '[retention]\nhistory = "100d"\nraw = "100d"\n')
    headrace(shop, "apply", "--yes", "--now", f"{day(40)}T04:30")
    points = [point.stability for point in scores(shop).points]
    assert [value is None for value in points] == [True] * 11 + [False] * 2
    assert points[-1] == explained(shop, f"{day(40)}T04:30")[0]
