"""The screens of `checks challenge` and `checks suggest`, at four widths."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from screen_lab import HOSTILE, WIDTHS, printed, require_fit, require_next, require_same

from headrace_advisor.cli import challenges as commands
from headrace_advisor.responses import challenges as k

SCREENS_FOLDER = Path(__file__).parent / "screens"
CHALLENGED = k.ChallengedCheckRow(
    check="unique_flight_id",
    asset="flights_clean",
    verdict="effective",
    mutations_tried=104,
    mutations_caught=5,
    cost_ms=8.9,
    evidence=(
        "it notices every tenth row twice; all rows twice; every tenth `flight_id` repeats the"
        " first; and 2 more"
    ),
    kind="unique",
    severity="blocking",
    partition="2013-02-13",
    rows=893,
    caught=["every tenth row twice"],
    file="assets/clean/flights_clean.sql",
    line=6,
)
UNNOTICED = k.UnnoticedRow(
    asset="flights_clean",
    partition="2013-02-13",
    mutation="scale",
    says="`dep_delay` × 100",
    columns=["dep_delay"],
    rows=893,
    rows_changed=880,
    assets=["carrier_delays"],
    consumers=["morning-report", "regulator-extract"],
    suggestion="range: {column: dep_delay, min: -400, max: 9000}",
)
SUGGESTED = k.SuggestedCheckRow(
    asset="flights_clean",
    check={"not_null": ["flight"]},
    yaml="not_null: [flight]",
    evidence="never null in 25,768 rows of 30 partitions",
    catches=["`flight` is null"],
    consumers=["morning-report"],
    assets=["carrier_delays"],
)
CHALLENGE = k.ChallengeResponse(
    checks=[
        CHALLENGED,
        msgspec.structs.replace(
            CHALLENGED,
            check="never",
            verdict="cannot_fail",
            mutations_caught=0,
            evidence="it noticed none of 104 mutations",
        ),
        msgspec.structs.replace(
            CHALLENGED,
            check=HOSTILE,
            verdict=None,
            mutations_caught=0,
            cost_ms=None,
            evidence="the time was over",
        ),
    ],
    noticed={"check": 90, "null_spike": 4},
    unnoticed=[
        UNNOTICED,
        msgspec.structs.replace(
            UNNOTICED, says=f"`{HOSTILE}` is null", consumers=[], assets=[], suggestion=None
        ),
    ]
    * 6,
    suggestions=[SUGGESTED],
    unfinished=["fleet_use"],
    skipped=["daily_report"],
    seconds=3.5,
)
NOTHING_CHALLENGED = k.ChallengeResponse(
    checks=[], noticed={}, unnoticed=[], suggestions=[], unfinished=[], skipped=[], seconds=0.1
)


SCREENS = {
    "checks_challenge": (CHALLENGE, commands.render_challenge),
    "checks_challenge_nothing": (NOTHING_CHALLENGED, commands.render_challenge),
    "checks_unnoticed": (CHALLENGE, commands.render_unnoticed),
    "checks_suggest": (
        [SUGGESTED, msgspec.structs.replace(SUGGESTED, consumers=[])],
        commands.render_suggestions,
    ),
    "checks_suggest_written": (
        [msgspec.structs.replace(SUGGESTED, written="assets/flights_clean.sql")],
        commands.render_suggestions,
    ),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_should(name: str, width: int) -> None:
    """Would catch: a table that is cut, or text of data that steers the terminal."""
    text = printed(*SCREENS[name], width)
    require_same(text, SCREENS_FOLDER / f"{name}.{width}.txt")
    require_fit(text, width)
    require_next(text)
