"""`docs diff`: two periods side by side say what `status` and `versions` say."""

from __future__ import annotations

from pathlib import Path

import pytest
from documented_shop import NOW, opened

from headrace.cli.main import run
from headrace.model import UsageError
from headrace.services.status import status
from headrace_docs.services.comparison import DailyFigure, compared, compared_periods
from headrace_docs.services.site import reader_as


def test_a_period_counts_what_status_counts(shop: Path) -> None:
    """Would catch: a second count of promises that disagrees with the first."""
    response = compared_periods(opened(shop), "2025-03-03T04:30", "now")
    figures = {each.figure: each.after.text for each in response.figures}
    promised = [each.availability for each in status(opened(shop)).consumers]
    kept = sum(past.kept for past in promised if past is not None)
    assert figures["promises kept"] == f"{kept} of 4"
    assert figures["incidents opened"] == "1"
    assert {each.verdict for each in response.figures} == {"too few days"}
    assert f"{response.before.since:%d %H:%M}" == "03 04:00", "nothing was applied earlier"


def test_versions_say_who_decided_what(
    changed_shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: a decision or a file that isn't named, or one that a role may not see."""
    response = compared_periods(opened(changed_shop), "1", "2")
    assert response.added == ["assets/later.sql"]
    assert response.removed == ["assets/secret_margin.sql"]
    assert response.changed == ["consumers.yaml"]
    assert [each.version for each in response.decisions or ()] == [2]
    out = tmp_path / "out"
    args = ["--project", str(changed_shop), "--now", "2025-03-04T07:00+00:00", "--out", str(out)]
    assert run(["docs", "diff", "1", *args]) == 0
    assert "version 2 by" in capsys.readouterr().out
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert "Removed: <bdi>assets/secret_margin.sql</bdi>" in page
    session = opened(changed_shop)
    reader = reader_as(session, "viewer:domain=sales")
    limited = compared_periods(session, "1", "2", reader=reader)
    assert (limited.decisions, limited.added, limited.removed) == (None, [], [])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (("9", "now"), "no version 9"),
        (("now", "1"), "isn't later"),
        (("2025-02-01", "now"), "nothing was applied before"),
        (("2025-03-03T05:00", "2031-01-01"), "in the future"),
        (("yesterday", "now"), "neither a date nor a time"),
    ],
)
def test_points_that_are_none_are_refused(
    shop: Path, points: tuple[str, str], message: str
) -> None:
    """Would catch: a period of nothing that is compared, or a traceback."""
    with pytest.raises(UsageError, match=message):
        compared_periods(opened(shop, NOW), *points)


@pytest.mark.parametrize(
    ("figure", "before", "after", "verdict"),
    [
        ("incidents opened", [1, 2, 1, 3, 2], [0, 0, 0, 0, 0], "better"),
        ("incidents opened", [1, 2, 1, 3, 2], [9, 9, 9, 0, 9], "worse"),
        ("incidents opened", [1, 2, 1, 3, 2], [1, 2, 9, 0, 1], "within the spread"),
        ("incidents opened", [1, 2, 1, 3], [0, 0, 0, 0, 0], "too few days"),
        ("promises kept", [0.5, 0.5, 0.9, 0.5, 0.5], [1, 1, 1, 1, 1], "better"),
        ("promises kept", [0.5, 0.5, 0.9, 0.5, 0.5], [], "too few days"),
    ],
)
def test_better_is_outside_of_the_spread(
    figure: str, before: list[float], after: list[float], verdict: str
) -> None:
    """Would catch: an accident that is praised, or less that is taken for more."""
    assert compared(figure, DailyFigure("", before), DailyFigure("", after)).verdict == verdict
