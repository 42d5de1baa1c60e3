"""Faults of those who deliver: what comes late, never, twice, cut, empty, in other units, under
other names.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import time, timedelta

from lab.deliveries import Delivery, Row, path_of, write
from lab.faults import Act, Fault, Make, Stage, Unfit
from lab.month import Lab
from lab.shapes import Measure, Source

ENOUGH = 40
"""Rows a day from which on something may be told of values; whether it can is asked of the clean
days."""


def _victim(
    lab: Lab, chance: random.Random, kind: str = "", rows: int = 0, form: str = ""
) -> Source:
    """The source of a fault. Raises Unfit where a fault is aimed at what it can't be played at."""
    fitting = [
        event
        for event in lab.world.events
        if (not kind or event.kind == kind)
        and event.rows >= rows
        and (not form or event.format == form)
    ]
    if lab.aimed:
        fitting = [item for item in fitting if item.name in lab.aimed]
    if not fitting:
        raise Unfit
    return chance.choice(fitting)


def _some(chance: random.Random, rows: list[Row], share: float) -> list[Row]:
    """A share of the rows, at least one."""
    return chance.sample(rows, max(round(len(rows) * share), 1))


def _one(
    source: Source,
    name: str,
    change: Callable[[Delivery], None],
    what: str,
    *,
    moves: str = "",
    about: str = "",
    column: str = "",
) -> Fault:
    def shaped(made: Delivery, _: Source | None) -> None:
        change(made)

    return Fault(
        name,
        source.name,
        what,
        {source.name: shaped},
        moves=moves,
        about=about,
        shown_in=frozenset(filter(None, [column])),
    )


# What doesn't come


def late(lab: Lab, chance: random.Random) -> Fault:
    sources = [
        event
        for event in lab.world.events
        if event.by and event.kind == "file" and event.name in (lab.aimed or {event.name})
    ]
    source = chance.choice(sources) if sources else _victim(lab, chance)
    at = lab.moment(lab.day + timedelta(1), time(6, 10))

    def change(made: Delivery) -> None:
        made.delay = at - lab.days.arrival(source, lab.day)

    return replace(_one(source, "late_source", change, "comes at 06:10"), observed_between=True)


def missing(lab: Lab, chance: random.Random) -> Fault:
    def change(made: Delivery) -> None:
        made.missing = True

    return _one(
        _victim(lab, chance), "missing_source", change, "isn't there until the next morning"
    )


def _answering(code: int, name: str) -> Make:
    def make(lab: Lab, chance: random.Random) -> Fault:
        def strike(stage: Stage) -> None:
            stage.driver.server.answer = code

        def mend(stage: Stage) -> None:
            stage.driver.server.answer = 200

        source = _victim(lab, chance, "http")
        return Fault(name, source.name, f"the server answers {code}", strike=strike, mend=mend)

    return make


unavailable = _answering(503, "source_unavailable")
denied = _answering(401, "access_denied")


# What comes under another schema or in another format


def renamed(lab: Lab, chance: random.Random) -> Fault:
    source = _victim(lab, chance)
    column = chance.choice(
        [source.category, source.entity, *(measure.name for measure in source.measures)]
    )
    title = chance.choice(
        (
            f"{column}_new",
            column.upper() + "X",
            f"src {column}",
            f"{column[:2]}{chance.randrange(100)}z",
        )
    )

    def change(made: Delivery) -> None:
        made.titles = {column: title}

    # A name that tells nothing is found by the values: where these differ as well, nobody can tell
    # the column from one that is gone.
    return replace(
        _one(source, "schema_change renamed", change, f"{column} is named {title}", about="schema"),
        gone="" if column.lower() in title.lower() else column,
    )


def dropped(lab: Lab, chance: random.Random) -> Fault:
    source = _victim(lab, chance)
    column = chance.choice([source.category, source.measures[0].name])

    def change(made: Delivery) -> None:
        made.header.remove(column)

    return replace(
        _one(source, "schema_change dropped", change, f"{column} isn't there", about="schema"),
        gone=column,
    )


def headless(lab: Lab, chance: random.Random) -> Fault:
    def change(made: Delivery) -> None:
        made.with_header = False

    return _one(_victim(lab, chance, form="csv"), "schema_change headless", change, "no header")


def retyped(lab: Lab, chance: random.Random) -> Fault:
    source = _victim(lab, chance)
    measure, share = chance.choice(source.measures), chance.choice((0.05, 0.3, 1.0))
    word = chance.choice(("n/a", "pending", "unknown", "#REF!", "~", "1 200 units"))

    def change(made: Delivery) -> None:
        for row in _some(chance, made.rows, share):
            row[measure.name] = word

    return _one(source, "type_change", change, f"{measure.name} is {word} in {share:.0%}")


def reformatted(lab: Lab, chance: random.Random) -> Fault:
    source = _victim(lab, chance, form="csv")
    how = chance.choice(("delimiter", "decimal", "date", "encoding"))
    fractions = [measure for measure in source.measures if not measure.whole]
    how = "date" if how == "decimal" and not fractions else how

    def change(made: Delivery) -> None:
        if how == "delimiter":
            made.delimiter = ";" if source.delimiter != ";" else "|"
        elif how == "encoding":
            made.encoding = "utf-16"
        elif how == "date":
            for row in made.rows:
                year, month, day = row[source.day].split("-")
                row[source.day] = f"{day}.{month}.{year}"
        else:
            for row in made.rows:
                for fraction in fractions:
                    row[fraction.name] = row[fraction.name].replace(".", ",")

    return _one(source, f"format_change {how}", change, how)


# What comes again


def stale(lab: Lab, chance: random.Random) -> Fault:
    source, back = _victim(lab, chance), chance.choice((1, 1, 3, 7, 20))

    def change(made: Delivery) -> None:
        made.rows = lab.days.events(source, lab.day - timedelta(back)).rows

    return _one(source, "stale_data", change, f"the file of {back} days before")


def restated(lab: Lab, chance: random.Random) -> Fault:
    source, back = _victim(lab, chance), chance.choice((1, 2, 4))
    day, measure = lab.day - timedelta(back), chance.choice(source.measures)

    def strike(stage: Stage) -> None:
        made = lab.days.events(source, day)
        for row in _some(chance, made.rows, 0.15):
            row[measure.name] = str(int(float(row[measure.name] or 1) * 1.1) + 1)
        write(path_of(lab.root, source, day), made, lab.moment(lab.day + timedelta(1), time(3, 0)))

    return Fault(
        "restatement",
        source.name,
        f"{day} comes again with other values",
        strike=strike,
        resent=False,
        findable=False,
    )


def doubled(lab: Lab, chance: random.Random) -> Fault:
    source, share = _victim(lab, chance), chance.choice((0.1, 0.5, 1.0))

    def change(made: Delivery) -> None:
        made.rows += [dict(row) for row in _some(chance, made.rows, share)]

    return _one(source, "duplicate_rows", change, f"{share:.0%} of the rows twice", about="rows")


def copied(lab: Lab, chance: random.Random) -> Fault:
    """Each row twice, the second time under a key of its own."""
    source = _victim(lab, chance)

    def change(made: Delivery) -> None:
        fresh = lab.days.events(source, lab.day + timedelta(200), factor=3.0).rows
        keys = iter(
            sorted({row[source.key] for row in fresh} - {row[source.key] for row in made.rows})
        )
        made.rows += [{**row, source.key: key} for row, key in zip(made.rows, keys, strict=False)]

    return _one(
        source, "duplicate_rows copied", change, "each row twice, with new keys", about="rows"
    )


# Too much, too little


def cut(lab: Lab, chance: random.Random) -> Fault:
    source, share = _victim(lab, chance, rows=ENOUGH), chance.choice((0.45, 0.6, 0.9))

    def change(made: Delivery) -> None:
        made.rows = made.rows[: max(int(len(made.rows) * (1 - share)), 3)]

    return _one(
        source,
        "volume_anomaly cut",
        change,
        f"the last {share:.0%} is missing",
        moves="rows",
        about="rows",
    )


def torn(lab: Lab, chance: random.Random) -> Fault:
    """A copy that ended early: within a value, within a row, or right after one."""
    source, kept = _victim(lab, chance), chance.uniform(0.2, 0.98)

    def change(made: Delivery) -> None:
        made.kept = kept

    return _one(
        source, "volume_anomaly torn", change, f"the file ends after {kept:.0%} of its bytes"
    )


def ragged(lab: Lab, chance: random.Random) -> Fault:
    """Rows that are narrower than the header."""
    source, part = _victim(lab, chance, form="csv"), chance.uniform(0.1, 0.9)

    def change(made: Delivery) -> None:
        made.short_from = int(len(made.rows) * part)

    what = f"rows lack their last value after {part:.0%}"
    return _one(source, "format_change ragged", change, what)


def bloated(lab: Lab, chance: random.Random) -> Fault:
    source, times = _victim(lab, chance, rows=ENOUGH), chance.choice((2, 3, 8))

    def change(made: Delivery) -> None:
        rows: list[Row] = []
        for at in range(times):
            other = lab.days.events(source, lab.day + timedelta(100 + at)).rows
            rows += [
                {
                    **row,
                    source.day: lab.day.isoformat(),
                    source.time: lab.day.isoformat() + row[source.time][10:],
                }
                for row in other
            ]
        made.rows = rows

    what = f"{times} times as many rows with keys of their own"
    return _one(source, "volume_anomaly bloated", change, what, moves="rows", about="rows")


def group_gone(lab: Lab, chance: random.Random) -> Fault:
    source = _victim(lab, chance, rows=ENOUGH)
    group = chance.choice(
        sorted(source.categories, key=lambda item: item[1])[len(source.categories) // 2 :]
    )

    def change(made: Delivery) -> None:
        made.rows = [row for row in made.rows if row[source.category] != group[0]]

    what = f"all of {group[0]} ({group[1]:.0%}) is missing"
    return _one(
        source,
        "volume_anomaly group",
        change,
        what,
        moves=f"share {group[0]}",
        about="rows",
        column=source.category,
    )


def group_doubled(lab: Lab, chance: random.Random) -> Fault:
    """One group is sent twice, row by row."""
    source = _victim(lab, chance)

    def change(made: Delivery) -> None:
        group = max(
            source.categories,
            key=lambda item: sum(row[source.category] == item[0] for row in made.rows),
        )[0]
        made.rows += [dict(row) for row in made.rows if row[source.category] == group]

    return _one(source, "duplicate_rows group", change, "the largest group twice", about="rows")


def emptied(lab: Lab, chance: random.Random) -> Fault:
    source, share = _victim(lab, chance, rows=ENOUGH), chance.choice((0.3, 0.7, 1.0))
    column = chance.choice(
        [source.category, source.entity, *(measure.name for measure in source.measures)]
    )

    def change(made: Delivery) -> None:
        for row in _some(chance, made.rows, share):
            row[column] = ""

    return _one(
        source,
        "null_spike",
        change,
        f"{column} is empty in {share:.0%}",
        moves=f"nulls {column}",
        about="values",
        column=column,
    )


# Other values


Changed = tuple[str, str, Callable[[list[Row]], None]]
"""What is done, which number it moves, and how."""


def _values(name: str, how: Callable[[Source, random.Random, Measure], Changed]) -> Make:
    def make(lab: Lab, chance: random.Random) -> Fault:
        source = _victim(lab, chance, rows=ENOUGH)
        measure = chance.choice(source.measures)
        what, moves, change = how(source, chance, measure)
        column = {"share": source.category, "hour": source.time}.get(
            moves.partition(" ")[0], measure.name
        )
        name_of = f"distribution_shift {name}"
        return _one(
            source,
            name_of,
            lambda made: change(made.rows),
            what,
            moves=moves,
            about="values",
            column=column,
        )

    return make


def _unit(source: Source, chance: random.Random, measure: Measure) -> Changed:
    factor = chance.choice((100.0, 1_000.0, 2.54, 0.01, 10.0, 60.0, 0.3048, 1e6))

    def change(rows: list[Row]) -> None:
        for row in rows:
            if row[measure.name]:
                value = float(row[measure.name]) * factor
                row[measure.name] = str(round(value)) if measure.whole else f"{value:.4f}"

    return f"{measure.name} × {factor:g}", f"size {measure.name}", change


def _sign(source: Source, chance: random.Random, measure: Measure) -> Changed:
    def change(rows: list[Row]) -> None:
        for row in rows:
            value = row[measure.name]
            row[measure.name] = (
                value[1:] if value.startswith("-") else f"-{value}" if value else value
            )

    return f"{measure.name} with the other sign", f"negative {measure.name}", change


def _swapped(source: Source, chance: random.Random, measure: Measure) -> Changed:
    ordered = sorted(source.categories, key=lambda item: item[1])
    least, most = ordered[0][0], ordered[-1][0]

    def change(rows: list[Row]) -> None:
        for row in rows:
            if row[source.category] == most:
                row[source.category] = least

    return f"{most} is named {least} ({ordered[-1][1]:.0%} of the rows)", f"share {most}", change


def _mixed(source: Source, chance: random.Random, measure: Measure) -> Changed:
    """Half of the largest group comes as the smallest one."""
    ordered = sorted(source.categories, key=lambda item: item[1])
    least, most = ordered[0][0], ordered[-1][0]

    def change(rows: list[Row]) -> None:
        for row in [row for row in rows if row[source.category] == most][::2]:
            row[source.category] = least

    return (
        f"half of {most} is named {least} ({ordered[-1][1] / 2:.0%} of the rows)",
        f"share {most}",
        change,
    )


def _relabelled(source: Source, chance: random.Random, measure: Measure) -> Changed:
    """Groups come under names that never were: the largest one, or all of them."""
    every, most = chance.random() < 0.5, max(source.categories, key=lambda item: item[1])[0]

    def change(rows: list[Row]) -> None:
        for row in rows:
            if every or row[source.category] == most:
                row[source.category] = row[source.category].title() + " Ltd"

    what = "all groups have" if every else f"{most} has"
    return f"{what} another name", f"share {most}", change


def _clock(source: Source, chance: random.Random, measure: Measure) -> Changed:
    hours = chance.choice((-7, -5, 5, 6, 9))

    def change(rows: list[Row]) -> None:
        for row in rows:
            day, at = row[source.time].split(" ")
            row[source.time] = f"{day} {(int(at[:2]) + hours) % 24:02d}{at[2:]}"

    return f"times are {hours:+d} hours off", "hour", change


unit, sign, swapped, clock = (
    _values("unit", _unit),
    _values("sign", _sign),
    _values("swapped", _swapped),
    _values("clock", _clock),
)
mixed, relabelled = _values("mixed", _mixed), _values("relabelled", _relabelled)


# References


def keys_of_facts(lab: Lab, chance: random.Random) -> Fault:
    joined = [
        event
        for event in lab.world.events[: lab.world.joined]
        if event.rows >= ENOUGH and event.name in (lab.aimed or {event.name})
    ]
    if not joined:
        raise Unfit
    source, share = chance.choice(joined), chance.choice((0.25, 0.6, 1.0))

    def change(made: Delivery) -> None:
        for row in _some(chance, made.rows, share):
            row[source.entity] = f"Y{row[source.entity][1:]}"

    what = f"{share:.0%} of the rows name entities that nobody knows"
    return _one(
        source,
        "reference_broken fact",
        change,
        what,
        moves="unknown",
        about="values",
        column=source.entity,
    )


def keys_of_reference(lab: Lab, chance: random.Random) -> Fault:
    """Keys are others, or rows are gone: then it is as much a matter of volume, which
    comes first.
    """
    if lab.aimed:
        raise Unfit
    known, share, gone = lab.world.reference, chance.choice((0.25, 0.6, 1.0)), chance.random() < 0.4
    keys = set(chance.sample(known.keys, min(int(len(known.keys) * share), len(known.keys) - 2)))

    def shaped(made: Delivery, _: Source | None) -> None:
        if gone:
            made.rows = [row for row in made.rows if row[known.entity] not in keys]
        for row in made.rows:
            row[known.entity] = (
                f"Y{row[known.entity][1:]}" if row[known.entity] in keys else row[known.entity]
            )

    what = f"{share:.0%} of the keys are {'gone' if gone else 'others'}"
    return Fault(
        "reference_broken reference",
        known.name,
        what,
        {known.name: shaped},
        also="volume_anomaly" if gone else "",
    )


def reported(lab: Lab, chance: random.Random) -> Fault:
    """What nothing could have shown, until somebody sees it."""
    source = _victim(lab, chance)
    measure = chance.choice(source.measures)

    def shaped(made: Delivery, _: Source | None) -> None:
        for row in made.rows[: max(len(made.rows) // 20, 1)]:
            row[measure.name] = str(math.ceil(float(row[measure.name] or 1)) + 1)

    report: Act = lambda stage: stage.command(  # noqa: E731 - one act, said where it is used
        lab.morning,
        time(8, 30),
        "incidents",
        "report",
        source.name,
        "--from",
        lab.day.isoformat(),
        "--reason",
        "figures that can't be",
    )
    what = f"a person reports {lab.day}"
    return Fault(
        "reported",
        source.name,
        what,
        {source.name: shaped},
        late=report,
        findable=False,
        by_itself=False,
    )


DELIVERED: tuple[Make, ...] = (
    late,
    missing,
    unavailable,
    denied,
    renamed,
    dropped,
    headless,
    retyped,
    reformatted,
    stale,
    restated,
    doubled,
    cut,
    bloated,
    group_gone,
    emptied,
    unit,
    sign,
    swapped,
    clock,
    keys_of_facts,
    keys_of_reference,
    reported,
    torn,
    ragged,
    group_doubled,
    mixed,
    copied,
    relabelled,
)
