"""The demo's morning page: what stands in the data is shown as text, and the page needs nothing but
itself."""

from __future__ import annotations

import importlib.util
import re
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace import Context

DAY = date(2013, 2, 8)
HOSTILE = "<script>alert('x')</script> & \"Söhne\""


def page(tmp_path: Path, **changes: list[dict[str, Any]]) -> str:
    file = resources.files("headrace_demo").joinpath(
        "demo_project", "assets", "operations", "daily_report.py"
    )
    spec = importlib.util.spec_from_file_location("daily_report", str(file))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    carrier = {
        "carrier": "UA",
        "carrier_name": HOSTILE,
        "flights": 4,
        "cancelled": 1,
        "arrived": 3,
        "late": 1,
        "late_share": 0.3333,
    }
    rows = {
        "carrier_delays": [
            carrier | {"dep_delay_minutes": 30, "arr_delay_minutes": 20, "mean_arr_delay": 6.7}
        ],
        "carrier_week": [{"carrier": "UA", "mean_arr_delay": -300.0}],
        "hourly_departures": [
            {"origin": "EWR", "hour": 6, "scheduled": 4, "flown": 3, "mean_dep_delay": 10.0}
        ],
        "airport_ranking": [
            {
                "rank": 1,
                "dest": "ORD",
                "airport": HOSTILE,
                "flights": 4,
                "cancelled": 1,
                "minutes_lost": 40,
            }
        ],
        "delays_by_conditions": [
            {
                "conditions": HOSTILE,
                "dark": None,
                "flights": 4,
                "cancelled": 1,
                "mean_dep_delay": None,
            }
        ],
    } | changes
    context = Context(
        asset="daily_report",
        partition=DAY.isoformat(),
        partitions=(DAY.isoformat(),),
        start=None,
        end=None,
        timezone="America/New_York",
        attempt="1.2",
        parameters={"threshold": 15},
        output_directory=tmp_path,
    )
    module.daily_report(
        context, **{name: pa.Table.from_pylist(values) for name, values in rows.items()}
    )
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_data_is_text_and_nothing_is_fetched(tmp_path: Path) -> None:
    """A carrier's name runs as a script, or the page is blank where there is no network."""
    html = page(tmp_path)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"(src|href)=|@import|url\(|https?://", html)


def test_it_counts_what_its_inputs_say(tmp_path: Path) -> None:
    """The page shows other totals than the tables that it is made of."""
    html = page(tmp_path)
    assert "Friday 8 February 2013" in html
    assert "3 of 4 scheduled flights left" in html
    assert "<b>1</b><span>cancelled, 25 %</span>" in html
    assert "<b>33 %</b><span>of arrivals 15 minutes late or more</span>" in html
    assert "<b>+10 min</b>" in html


def test_a_day_on_which_nothing_flew_is_a_page_too(tmp_path: Path) -> None:
    """The report fails on the very day when somebody needs it."""
    carrier = {
        "carrier": "UA",
        "carrier_name": None,
        "flights": 2,
        "cancelled": 2,
        "arrived": 0,
        "late": 0,
        "late_share": None,
    }
    grounded = [
        carrier | {"dep_delay_minutes": None, "arr_delay_minutes": None, "mean_arr_delay": None}
    ]
    html = page(
        tmp_path,
        carrier_delays=grounded,
        airport_ranking=[],
        carrier_week=[{"carrier": "UA", "mean_arr_delay": None}],
    )
    assert "nothing arrived" in html
    assert "0 of 2 scheduled flights left" in html
