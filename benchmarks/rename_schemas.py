"""Schemas as vendors change them: columns of many kinds with the values of two days, some renamed,
some dropped, some new, some moved.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

ROWS = 600
SHAKEN = 0.1
"""Share of cases in which what the rows are changes with the header."""
ENTITIES = (
    "customer",
    "order",
    "invoice",
    "shipment",
    "product",
    "warehouse",
    "carrier",
    "flight",
    "sensor",
    "patient",
    "visit",
    "claim",
    "policy",
    "account",
    "payment",
    "employee",
    "store",
    "machine",
    "batch",
    "ticket",
    "contract",
    "vehicle",
    "trip",
    "driver",
    "station",
    "meter",
    "reading",
    "portfolio",
    "trade",
    "position",
)
STEMS = {
    "id": ("id", "number", "key", "ref"),
    "code": ("code", "type", "class", "group"),
    "name": ("name", "label"),
    "quantity": ("quantity", "count", "volume"),
    "amount": ("amount", "value", "price", "cost", "fee", "tax", "discount", "total"),
    "share": ("rate", "percentage", "ratio"),
    "day": ("date",),
    "moment": ("time", "timestamp"),
    "flag": ("flag", "active", "deleted"),
    "state": ("status", "state"),
    "place": ("city", "country", "region"),
    "coordinate": ("latitude", "longitude"),
    "measure": (
        "temperature",
        "pressure",
        "weight",
        "height",
        "speed",
        "distance",
        "duration",
        "delay",
    ),
    "text": ("comment", "description"),
    "mail": ("email",),
    "phone": ("phone",),
    "year": ("year",),
    "month": ("month",),
    "uuid": ("uuid", "token"),
    "sparse": ("note", "reason"),
}
SHORT = {
    "customer": "cust",
    "order": "ord",
    "invoice": "inv",
    "shipment": "shpmt",
    "product": "prod",
    "warehouse": "whse",
    "carrier": "carr",
    "account": "acct",
    "payment": "pmt",
    "employee": "emp",
    "quantity": "qty",
    "amount": "amt",
    "number": "no",
    "description": "desc",
    "percentage": "pct",
    "temperature": "temp",
    "weight": "wgt",
    "distance": "dist",
    "latitude": "lat",
    "longitude": "lng",
    "date": "dt",
    "timestamp": "ts",
    "status": "stat",
    "count": "cnt",
    "value": "val",
    "duration": "dur",
    "position": "pos",
    "reading": "rdg",
    "vehicle": "veh",
    "contract": "ctr",
    "reference": "ref",
    "region": "reg",
    "country": "ctry",
    "machine": "mach",
    "total": "tot",
}
OTHERWISE = {
    "customer": "client",
    "order": "purchase",
    "invoice": "bill",
    "shipment": "delivery",
    "product": "article",
    "carrier": "haulier",
    "amount": "sum",
    "cost": "charge",
    "price": "rate",
    "date": "day",
    "time": "moment",
    "status": "state",
    "city": "town",
    "employee": "worker",
    "store": "shop",
    "quantity": "units",
    "comment": "remark",
    "number": "id",
    "code": "kind",
    "name": "title",
    "vehicle": "car",
    "trip": "ride",
    "distance": "mileage",
    "duration": "length",
    "delay": "lateness",
    "flag": "indicator",
    "id": "identifier",
    "email": "mail",
    "phone": "telephone",
    "reason": "cause",
    "total": "sum",
    "country": "nation",
    "type": "category",
}


@dataclass(frozen=True)
class Column:
    """A column: its name, its type, and its values as text on a day, of a process of its own."""

    words: tuple[str, ...]
    type: str
    day: Callable[[random.Random, int], list[str | None]]
    shaken: Callable[[random.Random, int], list[str | None]]
    """A day after the vendor has begun to deliver another population as well: half of the values
    are of other parameters."""


@dataclass(frozen=True)
class Case:
    """Two headers with a day's values each, and what became of what."""

    before: dict[str, tuple[str, list[str | None]]]
    after: dict[str, tuple[str, list[str | None]]]
    renamed: dict[str, str]


def case(seed: int, *, widest: int = 200, rows: int = ROWS) -> Case:
    """One schema of 5 to `widest` columns, 1 to 10 of them renamed, up to 3 dropped and up to 4
    new.
    """
    dice = random.Random(seed)
    count = int(5 * (widest / 5) ** dice.random())
    columns = _columns(dice, count + 4)
    here, extra = columns[:count], columns[count : count + dice.randint(0, 4)]
    style, case_of = dice.choice(STYLES), dice.choice(STYLES)
    names = [style(column.words) for column in here]
    renamed, dropped = _chosen(dice, count)
    new_names = {at: _renamed(dice, here[at], style, case_of, {*names}) for at in renamed}
    order = [at for at in range(count) if at not in dropped]
    if dice.random() < 0.2:
        dice.shuffle(order)
    before = {
        names[at]: (column.type, column.day(random.Random(seed * 31 + at), rows))
        for at, column in enumerate(here)
    }
    moved = [(new_names.get(at, names[at]), here[at], at) for at in order]
    for number, column in enumerate(extra):
        if style(column.words) not in before:
            moved.insert(
                dice.choice((len(moved), dice.randint(0, len(moved)))),
                (style(column.words), column, count + number),
            )
    after: dict[str, tuple[str, list[str | None]]] = {}
    shaken = dice.random() < SHAKEN
    for name, column, at in moved:
        day = column.shaken if shaken else column.day
        after.setdefault(
            name,
            (
                column.type,
                day(random.Random(seed * 77 + at), max(20, int(rows * dice.uniform(0.7, 1.3)))),
            ),
        )
    truth = {names[at]: new_names[at] for at in renamed}
    return Case(before, after, truth)


def _chosen(dice: random.Random, count: int) -> tuple[set[int], set[int]]:
    renamed = set(dice.sample(range(count), min(dice.randint(1, 10), count - 1)))
    left = [at for at in range(count) if at not in renamed]
    return renamed, set(dice.sample(left, min(dice.randint(0, 3), max(0, len(left) - 1))))


def _columns(dice: random.Random, count: int) -> list[Column]:
    result: dict[tuple[str, ...], Column] = {}
    entities = dice.sample(ENTITIES, dice.randint(1, min(len(ENTITIES), 2 + count // 6)))
    while len(result) < count:
        kind = dice.choice(list(STEMS))
        stem = dice.choice(STEMS[kind])
        words = (dice.choice(entities), stem) if dice.random() < 0.8 else (stem,)
        if words in result:
            words = (
                dice.choice(
                    (
                        "first",
                        "last",
                        "net",
                        "gross",
                        "planned",
                        "actual",
                        "old",
                        "origin",
                        "target",
                        "parent",
                    )
                ),
                *words,
            )
        if words not in result:
            kind_of, values = _process(kind, dice)
            result[words] = Column(
                words, kind_of, values, _mixed(values, _process(kind, dice), kind_of)
            )
    return list(result.values())


def _snake(words: tuple[str, ...]) -> str:
    return "_".join(words)


def _camel(words: tuple[str, ...]) -> str:
    return words[0] + "".join(word.title() for word in words[1:])


def _spaced(words: tuple[str, ...]) -> str:
    return " ".join(word.title() for word in words)


def _upper(words: tuple[str, ...]) -> str:
    return "_".join(words).upper()


STYLES: tuple[Callable[[tuple[str, ...]], str], ...] = (_snake, _camel, _spaced, _upper)


def _renamed(
    dice: random.Random,
    column: Column,
    style: Callable[..., str],
    other: Callable[..., str],
    taken: set[str],
) -> str:
    """As vendors do: another style, short or long forms, other words, more or fewer words; now and
    then a name that says nothing.
    """
    for _ in range(20):
        words, way = column.words, dice.random()
        if way < 0.18:
            style = other
        elif way < 0.5:
            words = tuple(SHORT.get(word, word) if dice.random() < 0.8 else word for word in words)
        elif way < 0.72:
            words = tuple(OTHERWISE.get(word, word) for word in words)
        elif way < 0.86:
            words = (
                (*words, dice.choice(("new", "v2", "code", "text", "eur", "utc")))
                if dice.random() < 0.6
                else ("src", *words)
            )
        elif way < 0.93:
            words = tuple(reversed(words)) if len(words) > 1 else (*words, "x")
        else:
            words = (dice.choice(("field", "col", "attr", "x")), str(dice.randint(1, 99)))
        name = style(words)
        if name not in taken:
            taken.add(name)
            return name
    name = f"{style(column.words)}_{len(taken)}"
    taken.add(name)
    return name


def _process(
    kind: str, dice: random.Random
) -> tuple[str, Callable[[random.Random, int], list[str | None]]]:
    """A type, and what makes a day of it: each column has parameters of its own, which move a
    little from day to day.
    """
    nulls = (
        dice.choice((0.0, 0.0, 0.0, dice.uniform(0.01, 0.4)))
        if kind != "sparse"
        else dice.uniform(0.8, 0.98)
    )
    made, type_of = _MAKERS[kind](dice)

    def day(today: random.Random, rows: int) -> list[str | None]:
        value = made(today)
        missing = nulls * today.uniform(0.8, 1.2)
        return [None if today.random() < missing else value() for _ in range(rows)]

    return type_of, day


_Maker = tuple[Callable[[random.Random], Callable[[], str]], str]


_Day = Callable[[random.Random, int], list[str | None]]


def _mixed(day: _Day, other: tuple[str, _Day], kind: str) -> _Day:
    """Half of one process and half of another, where that is of the same type."""

    def mixed(today: random.Random, rows: int) -> list[str | None]:
        if other[0] != kind:
            return day(today, rows)
        both = day(today, rows // 2) + other[1](today, rows - rows // 2)
        today.shuffle(both)
        return both

    return mixed


def _id(dice: random.Random) -> _Maker:
    start, step, lead = (
        dice.randint(1, 10**8),
        dice.randint(1, 4),
        dice.choice(("", "", f"{dice.choice('ABCKPX')}-")),
    )

    def made(today: random.Random) -> Callable[[], str]:
        at = start + today.randint(0, max(10, start // 50))

        def value() -> str:
            nonlocal at
            at += step
            return f"{lead}{at}"

        return value

    return made, "VARCHAR" if lead else "BIGINT"


def _code(dice: random.Random) -> _Maker:
    width, count = dice.randint(2, 5), dice.randint(3, 60)
    codes = [
        "".join(dice.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(width))
        for _ in range(count)
    ]
    weights = [1 / (n + 1) for n in range(count)]
    return (lambda today: lambda: today.choices(codes, weights)[0]), "VARCHAR"


def _name(dice: random.Random) -> _Maker:
    syllables = [
        "".join(dice.choice("bdfgklmnprstvz") + dice.choice("aeiou") for _ in range(2))
        for _ in range(40)
    ]
    count = dice.choice((1, 2, 2, 3))
    return (
        lambda today: (
            lambda: " ".join("".join(today.choices(syllables, k=2)).title() for _ in range(count))
        )
    ), "VARCHAR"


def _quantity(dice: random.Random) -> _Maker:
    scale = dice.choice((1, 3, 10, 50, 400))

    def made(today: random.Random) -> Callable[[], str]:
        mean = scale * today.uniform(0.9, 1.1)
        return lambda: str(int(today.expovariate(1 / mean)))

    return made, "BIGINT"


def _amount(dice: random.Random) -> _Maker:
    centre, spread = dice.uniform(0, 9), dice.uniform(0.2, 1.4)

    def made(today: random.Random) -> Callable[[], str]:
        at = centre + today.uniform(-0.08, 0.08)
        return lambda: f"{today.lognormvariate(at, spread):.2f}"

    return made, "DOUBLE"


def _share(dice: random.Random) -> _Maker:
    a, b, scale = dice.uniform(0.5, 6), dice.uniform(0.5, 6), dice.choice((1, 100))
    return (
        lambda today: lambda: f"{scale * today.betavariate(a, b):.{3 if scale == 1 else 1}f}"
    ), "DOUBLE"


def _day(dice: random.Random) -> _Maker:
    back, year = dice.choice((1, 5, 40, 400)), dice.randint(2015, 2024)
    first = dice.randint(1, 300)

    def made(today: random.Random) -> Callable[[], str]:
        at = first + today.randint(0, 5)
        return lambda: _date(year, at - int(today.expovariate(1 / back)))

    return made, "DATE"


def _date(year: int, day: int) -> str:
    import datetime as dt

    return (dt.date(year, 1, 1) + dt.timedelta(day)).isoformat()


def _moment(dice: random.Random) -> _Maker:
    hour, spread = dice.uniform(6, 18), dice.uniform(1, 4)
    year = dice.randint(2015, 2024)

    def made(today: random.Random) -> Callable[[], str]:
        date = _date(year, 100 + today.randint(0, 3))

        def value() -> str:
            at = int(min(86_399, max(0, today.gauss(hour, spread) * 3_600)))
            return f"{date} {at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}"

        return value

    return made, "TIMESTAMP"


def _flag(dice: random.Random) -> _Maker:
    share, (yes, no) = (
        dice.uniform(0.02, 0.98),
        dice.choice((("true", "false"), ("Y", "N"), ("1", "0"))),
    )
    kind = {"true": "BOOLEAN", "Y": "VARCHAR", "1": "BIGINT"}[yes]
    return (lambda today: lambda: yes if today.random() < share else no), kind


def _state(dice: random.Random) -> _Maker:
    pool = (
        "open",
        "closed",
        "new",
        "pending",
        "shipped",
        "paid",
        "cancelled",
        "failed",
        "active",
        "returned",
        "draft",
        "booked",
        "sent",
    )
    values = dice.sample(pool, dice.randint(3, 7))
    weights = [dice.random() for _ in values]
    return (lambda today: lambda: today.choices(values, weights)[0]), "VARCHAR"


def _place(dice: random.Random) -> _Maker:
    places = [
        "".join(dice.choice("bdfgklmnprst") + dice.choice("aeiou") for _ in range(3)).title()
        for _ in range(dice.randint(8, 120))
    ]
    return (lambda today: lambda: today.choice(places)), "VARCHAR"


def _coordinate(dice: random.Random) -> _Maker:
    centre, spread = dice.uniform(-120, 120), dice.uniform(0.5, 20)
    return (lambda today: lambda: f"{today.gauss(centre, spread):.4f}"), "DOUBLE"


def _measure(dice: random.Random) -> _Maker:
    centre, spread, places = dice.uniform(-20, 400), dice.uniform(2, 90), dice.choice((0, 1, 2))
    kind = "DOUBLE" if places else "BIGINT"

    def made(today: random.Random) -> Callable[[], str]:
        at = centre + spread * today.uniform(-0.15, 0.15)
        return lambda: f"{today.gauss(at, spread):.{places}f}"

    return made, kind


def _text(dice: random.Random) -> _Maker:
    vocabulary = [
        "".join(dice.choice("abcdefghiklmnoprstuvw") for _ in range(dice.randint(2, 9)))
        for _ in range(300)
    ]
    longest = dice.choice((4, 12, 30))
    return (
        lambda today: lambda: " ".join(today.choices(vocabulary, k=today.randint(1, longest)))
    ), "VARCHAR"


def _mail(dice: random.Random) -> _Maker:
    host = dice.choice(("example.com", "example.org", "mail.example.net"))
    return (
        lambda today: lambda: f"{''.join(today.choices('abcdefghiklmnorstuv', k=7))}@{host}"
    ), "VARCHAR"


def _phone(dice: random.Random) -> _Maker:
    lead = dice.choice(("+49 ", "+1-", "0"))
    return (lambda today: lambda: f"{lead}{today.randint(10**7, 10**9)}"), "VARCHAR"


def _year(dice: random.Random) -> _Maker:
    first, count = dice.randint(1950, 2015), dice.randint(1, 30)
    return (lambda today: lambda: str(first + today.randrange(count))), "BIGINT"


def _month(dice: random.Random) -> _Maker:
    least = dice.randint(1, 6)
    return (lambda today: lambda: str(today.randint(least, 12))), "BIGINT"


def _uuid(dice: random.Random) -> _Maker:
    digits = dice.choice((32, 32, 16))
    return (lambda today: lambda: f"{today.getrandbits(4 * digits):0{digits}x}"), "VARCHAR"


_MAKERS: dict[str, Callable[[random.Random], _Maker]] = {
    "id": _id,
    "code": _code,
    "name": _name,
    "quantity": _quantity,
    "amount": _amount,
    "share": _share,
    "day": _day,
    "moment": _moment,
    "flag": _flag,
    "state": _state,
    "place": _place,
    "coordinate": _coordinate,
    "measure": _measure,
    "text": _text,
    "mail": _mail,
    "phone": _phone,
    "year": _year,
    "month": _month,
    "uuid": _uuid,
    "sparse": _text,
}
