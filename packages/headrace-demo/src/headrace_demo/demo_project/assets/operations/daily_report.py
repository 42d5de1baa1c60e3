"""The page that the operations desk opens in the morning: one self-contained HTML file a day,
nothing fetched, no script.
"""

from datetime import date
from html import escape

import pyarrow as pa

from headrace import Context, asset

CHECKED = "Published only after every blocking check on flights, carriers and airports had passed."
BAR_ENDS_AT = 60
"""Minutes; a single flight that is seven hours late must not flatten all others."""


@asset(
    owner="operations",
    domain="operations",
    partition="day",
    inputs=[
        "carrier_delays",
        "carrier_week",
        "hourly_departures",
        "airport_ranking",
        "delays_by_conditions",
    ],
    materialize="files",
)
def daily_report(
    ctx: Context,
    carrier_delays: pa.Table,
    carrier_week: pa.Table,
    hourly_departures: pa.Table,
    airport_ranking: pa.Table,
    delays_by_conditions: pa.Table,
) -> None:
    """Write `report.html` into the folder of this attempt."""
    carriers = sorted(carrier_delays.to_pylist(), key=lambda row: -row["flights"])
    week = {row["carrier"]: row for row in carrier_week.to_pylist()}
    day = date.fromisoformat(ctx.partition)
    page = "".join(
        [
            _headline(day, carriers, ctx.parameters["threshold"]),
            _section(
                "Departures by local hour",
                _hours(hourly_departures.to_pylist()),
                "scheduled, and of these flown",
            ),
            _section(
                "Carriers",
                _carriers(carriers, week),
                "bar: this day; tick: seven days; both end at an hour",
            ),
            '<div class="two">',
            _section(
                "Where passengers lost most time",
                _destinations(airport_ranking.to_pylist()),
                "minutes late on arrival, summed",
            ),
            _section(
                "Weather at departure",
                _weather(delays_by_conditions.to_pylist()),
                "as observed in the scheduled hour",
            ),
            "</div>",
            (
                f"<footer>Data through {day:%A} {day.day} {day:%B %Y}. {CHECKED} Attempt"
                f" {escape(str(ctx.attempt))}.</footer>"
            ),
        ]
    )
    title = f"New York departures, {day.day} {day:%B %Y}"
    (ctx.output_directory / "report.html").write_text(_response(title, page), encoding="utf-8")


def _headline(day: date, carriers: list[dict], threshold: int) -> str:
    columns = ("flights", "cancelled", "arrived", "late")
    flights, cancelled, arrived, late = (sum(row[name] for row in carriers) for name in columns)
    lost = sum(row["dep_delay_minutes"] or 0 for row in carriers)
    flown = flights - cancelled
    said = (
        "An ordinary day"
        if cancelled < 0.05 * flights
        else "A hard day"
        if cancelled < 0.25 * flights
        else "The day broke down"
    )
    tiles = [
        _tile(f"{flights:,}", "flights scheduled", ""),
        _tile(
            f"{cancelled:,}",
            f"cancelled, {_percent(cancelled, flights)}",
            "bad" if cancelled >= 0.05 * flights else "",
        ),
        _tile(
            _percent(late, arrived),
            f"of arrivals {threshold} minutes late or more",
            "warn" if late > 0.25 * arrived else "",
        ),
        _tile(f"{lost / flown:+.0f} min" if flown else "–", "mean departure delay", ""),
    ]
    return (
        f"<header><p>New York departures · EWR, JFK, LGA</p><h1>{day:%A} {day.day}"
        f" {day:%B %Y}</h1><p class='lead'>{said}: {flown:,} of {flights:,} scheduled flights"
        f" left.</p></header><div class='tiles'>{''.join(tiles)}</div>"
    )


def _tile(value: str, label: str, tone: str) -> str:
    return f"<div class='tile {tone}'><b>{escape(value)}</b><span>{escape(label)}</span></div>"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "–"


def _section(title: str, body: str, note: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p class='note'>{escape(note)}</p>{body}</section>"


def _hours(rows: list[dict]) -> str:
    """Two bars in one place for each hour of the day: what was scheduled, and in front of it what
    flew.
    """
    scheduled, flown = (
        [sum(row[name] for row in rows if row["hour"] == hour) for hour in range(24)]
        for name in ("scheduled", "flown")
    )
    highest = max(*scheduled, 1)
    bars = []
    for hour in range(24):
        x = 10 + hour * 30
        title = f"<title>{hour:02d}:00 – {flown[hour]} of {scheduled[hour]} flown</title>"
        for kind, count in (("planned", scheduled[hour]), ("flown", flown[hour])):
            height = 130 * count / highest
            bars.append(
                f"<rect class='{kind}' x='{x}' y='{150 - height:.1f}' width='24'"
                f" height='{height:.1f}' rx='2'>{title}</rect>"
            )
        if hour % 3 == 0:
            bars.append(f"<text x='{x + 12}' y='168' text-anchor='middle'>{hour:02d}</text>")
    label = f"<text x='10' y='14'>{highest} an hour at most</text>"
    return (
        "<svg viewBox='0 0 740 176' role='img' aria-label='Scheduled and flown departures by"
        f" hour'>{label}{''.join(bars)}</svg>"
    )


def _carriers(rows: list[dict], week: dict[str, dict]) -> str:
    body = "".join(_carrier(row, week.get(row["carrier"], {})) for row in rows)
    head = (
        "<tr><th>carrier</th><th class='n'>flights</th><th class='n'>cancelled</th><th"
        " class='n'>late</th><th>mean arrival delay</th></tr>"
    )
    return f"<table>{head}{body}</table>"


def _carrier(row: dict, usual: dict) -> str:
    late = "–" if row["late_share"] is None else _percent(row["late_share"], 1)
    bad = "bad" if row["cancelled"] > 0.25 * row["flights"] else ""
    bar = _delay_bar(row["mean_arr_delay"], usual.get("mean_arr_delay"))
    return (
        f"<tr><td>{escape(row['carrier_name'] or row['carrier'])}</td>"
        f"<td class='n'>{row['flights']}</td><td class='n {bad}'>{row['cancelled'] or ''}</td>"
        f"<td class='n'>{late}</td><td class='chart'>{bar}</td></tr>"
    )


def _delay_bar(delay: float | None, usual: float | None) -> str:
    """A bar from the middle: early to the left, late to the right, with a tick at the seven-day
    mean; both end at `BAR_ENDS_AT`."""
    if delay is None:
        return "<span class='none'>nothing arrived</span>"
    end = 100 + _pixels(delay)
    tick = (
        ""
        if usual is None
        else f"<rect class='tick' x='{99 + _pixels(usual):.1f}' y='1' width='2' height='14'/>"
    )
    box = f"x='{min(end, 100):.1f}' y='4' width='{max(abs(end - 100), 1):.1f}' height='8' rx='2'"
    bar = f"<rect class='{'late' if delay > 0 else 'early'}' {box}/>"
    number = f"<text x='262' y='12' text-anchor='end'>{delay:+.0f} min</text>"
    return f"<svg class='bar' viewBox='0 0 264 16' aria-hidden='true'>{bar}{tick}{number}</svg>"


def _pixels(minutes: float) -> float:
    return 90 * max(-1.0, min(1.0, minutes / BAR_ENDS_AT))


def _destinations(rows: list[dict]) -> str:
    worst = [row for row in sorted(rows, key=lambda row: row["rank"]) if row["minutes_lost"] > 0][
        :10
    ]
    most = max((row["minutes_lost"] for row in worst), default=1)
    body = "".join(
        f"<tr><td>{escape(row['airport'])}</td><td class='n'>{row['flights']}</td><td"
        f" class='n'>{row['minutes_lost']:,}</td><td class='chart'><i"
        f" style='width:{100 * row['minutes_lost'] / most:.0f}%'></i></td></tr>"
        for row in worst
    )
    return _table(["destination", "flights", "minutes", ""], body, numbers=range(1, 3))


def _weather(rows: list[dict]) -> str:
    body = "".join(_conditions(row) for row in sorted(rows, key=lambda row: -row["flights"]))
    return _table(
        ["conditions", "flights", "cancelled", "mean delay, min"], body, numbers=range(1, 4)
    )


def _conditions(row: dict) -> str:
    light = "" if row["dark"] is None else ", dark" if row["dark"] else ", daylight"
    delay = "–" if row["mean_dep_delay"] is None else format(row["mean_dep_delay"], "+.0f")
    return (
        f"<tr><td>{escape(row['conditions'])}{light}</td><td class='n'>{row['flights']}</td>"
        f"<td class='n'>{_percent(row['cancelled'], row['flights'])}</td>"
        f"<td class='n'>{delay}</td></tr>"
    )


def _table(columns: list[str], body: str, numbers: range) -> str:
    head = "".join(
        f"<th{' class=n' if place in numbers else ''}>{escape(name)}</th>"
        for place, name in enumerate(columns)
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _response(title: str, body: str) -> str:
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport'"
        " content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #66707d; --line: #e3e6ea; --paper: #fff;
    --back: #f4f5f7; --main: #2463a8; --pale: #c9d8ea; --bad: #b3261e; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #98a3b1; --line: #2c343f;
    --paper: #171d25; --back: #0f141a; --main: #6ba6e8; --pale: #2b3d52; --bad: #ff8a80; --warn:
    #f0b849; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.45 system-ui,
    sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1rem }
header p { margin: 0; color: var(--soft) }
h1 { margin: .1rem 0; font-size: 2rem; letter-spacing: -.02em }
.lead { font-size: 1.1rem }
h2 { margin: 0; font-size: 1.05rem }
.note { margin: 0 0 .6rem; color: var(--soft); font-size: .85rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem;
    margin: 1.2rem 0 }
.tile, section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
    padding: 1rem }
.tile b { display: block; font-size: 1.7rem; letter-spacing: -.02em }
.tile span { color: var(--soft); font-size: .85rem }
.tile.bad b, td.bad { color: var(--bad); font-weight: 600 }
.tile.warn b { color: var(--warn) }
section { margin-bottom: .8rem; overflow-x: auto }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: .8rem }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .5rem; text-align: left }
th { color: var(--soft); font-weight: 500; font-size: .85rem }
td { border-top: 1px solid var(--line) }
.n { text-align: right; white-space: nowrap }
.chart { width: 35% }
.chart i { display: block; height: 8px; border-radius: 2px; background: var(--main) }
.none { color: var(--soft) }
svg { display: block; width: 100%; height: auto }
svg.bar { min-width: 11rem }
text { fill: var(--soft); font: 12px system-ui, sans-serif }
.planned { fill: var(--pale) }
.flown, .early { fill: var(--main) }
.late { fill: var(--warn) }
.tick { fill: var(--ink) }
footer { color: var(--soft); font-size: .85rem; padding: 1rem 0 }
"""
