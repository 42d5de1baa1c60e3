"""Numbers in text formats, through real ticks: what is published is what the text says with a
decimal point, or with a decimal comma that the column itself proves; everything else is held.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import pytest
from legacy_formats import NEEDS_LEGACY
from openpyxl import Workbook
from runlab import DAYS, Lab

pytestmark = NEEDS_LEGACY

POINTS = ("4.950", "0.125", "3.999", "2.001", "512", "7", "4.95", "-0.9", "1234.5", "12.345", "0.5")
ODD = ("1.234.567", "1'234", "1 234", "1\u00a0234", "007.125", "1.234e2", " 2.001", "5.", ".125")
COMMAS = (
    "1,234",
    "12,345",
    "1,234.5",
    "1,234,567",
    "1,5",
    "0,125",
    "1.234,56",
    "1234,567",
    "-2,25",
)
WITH_COMMA = re.compile(r"[-+]?([1-9]\d{0,2}(\.\d{3})+|\d*)(,\d+)?")
OF_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
FIELD = {
    "": "",
    "number": "logicalType: number",
    "integer": "logicalType: integer",
    "DECIMAL(12,2)": "logicalType: number, physicalType: 'DECIMAL(12,2)'",
    "DECIMAL(12,3)": "logicalType: number, physicalType: 'DECIMAL(12,3)'",
    "DOUBLE": "logicalType: number, physicalType: DOUBLE",
}
HISTORIES = {"whole": ("4", "5", "17"), "fractions": ("4.5", "5.25", "17.75")}
OPTIONS = {
    "txt": "fixed_width: [{name: id, width: 4, type: bigint}, {name: m, width: 12, type: double}]\n",
    "xml": "xml: {records: //r, flatten: true}\n",
}
PER_FORMAT = 24


Rows = Sequence[tuple[int, str]]


class Case(NamedTuple):
    """A source with one day of history and one delivery, and the contract's type of `m`."""

    name: str
    format: str
    history: Sequence[str]
    now: Sequence[str]
    contract: str


def expected(case: Case) -> list[Decimal] | None:
    """Return the only numbers that may be published; None if the delivery has to be held."""
    if case.format == "csv" and any("," in text for text in case.now):
        proven = any("," in text and not OF_THOUSANDS.fullmatch(text) for text in case.now)
        if not proven or not all(WITH_COMMA.fullmatch(text) for text in case.now):
            return None
        return [Decimal(text.replace(".", "").replace(",", ".")) for text in case.now]
    try:
        return [Decimal(text) for text in case.now]
    except InvalidOperation:
        return None


def csv(path: Path, values: Rows) -> None:
    rows = "".join(f"{i};{m}\n" for i, m in values)
    path.write_text(f"id;m\n{rows}", "utf-8")


def jsonl(path: Path, values: Rows) -> None:
    path.write_text("".join(json.dumps({"id": i, "m": m}) + "\n" for i, m in values))


def xml(path: Path, values: Rows) -> None:
    rows = "".join(f"<r><id>{i}</id><m>{m}</m></r>" for i, m in values)
    path.write_text(f"<rs>{rows}</rs>", "utf-8")


def txt(path: Path, values: Rows) -> None:
    path.write_text("".join(f"{i:<4}{m:>12}\n" for i, m in values), "utf-8")


def xlsx(path: Path, values: Rows) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["id", "m"])
    for row in values:
        sheet.append(row)
    book.save(path)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "csv": csv,
    "jsonl": jsonl,
    "xml": xml,
    "txt": txt,
    "xlsx": xlsx,
}


def cases(kind: str) -> list[Case]:
    """Return those of the incident, and drawn ones."""
    draw = random.Random(f"numbers {kind}")
    result = [
        Case("k0", kind, HISTORIES["whole"], ("4.950", "0.125"), ""),
        Case("k1", kind, HISTORIES["whole"], ("4.950", "2.001", "3.999", "512"), ""),
        Case("k2", kind, HISTORIES["whole"], ("4.950", "2.001", "3.999"), "DECIMAL(12,2)"),
        Case("k3", kind, HISTORIES["whole"], ("4.950", "2.001", "3.999"), "integer"),
        Case("k4", kind, HISTORIES["fractions"], ("1,234", "5,678"), ""),
        Case("k5", kind, HISTORIES["fractions"], ("1.234,5", "1.234", "0,125"), ""),
        Case("k6", kind, HISTORIES["fractions"], ("1,5", "0.125"), "DOUBLE"),
    ]
    pools = (POINTS, POINTS, POINTS + ODD, COMMAS, COMMAS, POINTS + COMMAS)
    for n in range(PER_FORMAT):
        pool = pools[n % len(pools)]
        now = [draw.choice(pool) for _ in range(draw.randint(1, 4))]
        history = HISTORIES[draw.choice(["whole", "fractions"])]
        result.append(Case(f"d{n}", kind, history, now, draw.choice(list(FIELD))))
    return result


def declare(lab: Lab, case: Case) -> None:
    lab.write(
        f"sources/{case.name}.yaml",
        f"source: {case.name}\nowner: acme\npartition: day\nfiles:"
        f" landing/{case.name}_{{date:%Y-%m-%d}}.{case.format}\n"
        + OPTIONS.get(case.format, "")
        + (f"contract: {case.name}\n" if case.contract else ""),
    )
    if case.contract:
        lab.write(
            f"contracts/{case.name}.odcs.yaml",
            f"apiVersion: v3.1.0\nkind: DataContract\nid: {case.name}\nversion: 1.0.0\n"
            f"status: active\nschema:\n  - name: {case.name}\n    properties:\n"
            "      - {name: id, logicalType: integer}\n"
            f"      - {{name: m, {FIELD[case.contract]}}}\n",
        )


@pytest.mark.long
@pytest.mark.parametrize("kind", WRITERS)
def test_a_number_is_published_as_it_is_written_or_held(tmp_path: Path, kind: str) -> None:
    """Would catch: 4.950 published as 4950 or 1,234 as 1.234, because another reading fits; a
    comma that the column proves, or a third decimal, that holds a delivery of fractions.
    """
    lab, drawn = Lab(tmp_path / "p"), cases(kind)
    (lab.root / "contracts").mkdir()
    (lab.root / "sources/orders.yaml").unlink()
    for case in drawn:
        declare(lab, case)
        WRITERS[kind](file(lab, case, DAYS[0]), [*enumerate(case.history)])
    lab.tick()
    for case in drawn:
        WRITERS[kind](file(lab, case, DAYS[1]), [*enumerate(case.now, 100)])
    lab.tick()
    states = dict(lab.rows("select node, state from partition where partition = ?", DAYS[1]))
    there = {node for (node,) in lab.rows("select node from publication")}
    result = values(lab, [case for case in drawn if case.name in there])
    assert len(result) > len(drawn) / 2
    wrong = {
        f"{case.now} after {case.history} {case.contract}": result[case.name]
        for case in drawn
        if case.name in there and not is_right(case, states[case.name], result[case.name])
    }
    assert not wrong
    for case in drawn:
        if kind == "csv" and not case.contract:
            fractions = case.history == HISTORIES["fractions"] or "," not in "".join(case.now)
            is_read = expected(case) is not None and fractions
            assert (states[case.name] == "published") == is_read, case


def is_right(case: Case, state: str, result: Sequence[str | None]) -> bool:
    """Whether nothing is published, or the only numbers, or the text itself in a text column."""
    if state != "published":
        return not result
    numbers = expected(case)
    return list(result) == list(case.now) or (
        numbers is not None and [text and Decimal(text) for text in result] == numbers
    )


def file(lab: Lab, case: Case, day: str) -> Path:
    return lab.root / f"landing/{case.name}_{day}.{case.format}"


def values(lab: Lab, drawn: Sequence[Case]) -> dict[str, list[str | None]]:
    """Return the published values of the second day, in the file's order."""
    each = " union all ".join(
        f"select '{case.name}' as name, id, cast(m as varchar) as m from {case.name}"
        for case in drawn
    )
    result: dict[str, list[str | None]] = {case.name: [] for case in drawn}
    for row in lab.headrace("sql", f"{each} order by name, id", "--limit", "10000")["rows"]:
        if row["id"] >= 100:
            result[row["name"]].append(row["m"])
    return result


@pytest.mark.parametrize(("other", "state"), [("4.950", "held"), ("512", "published")])
def test_each_file_of_a_delivery_proves_its_own_comma(
    tmp_path: Path, other: str, state: str
) -> None:
    """Would catch: 4.950 published as 4950 because another file of the day has a decimal comma."""
    lab = Lab(tmp_path / "p")
    (lab.root / "sources/orders.yaml").unlink()
    lab.write(
        "sources/s.yaml",
        "source: s\nowner: acme\npartition: day\nfiles: landing/{date:%Y-%m-%d}_*.csv\n"
        "complete: {files: 2}\n",
    )
    for day, first, second in ((DAYS[0], "4.5", "5.25"), (DAYS[1], "1.234,5", other)):
        csv(lab.root / f"landing/{day}_a.csv", [(1, first)])
        csv(lab.root / f"landing/{day}_b.csv", [(2, second)])
        lab.tick()
    assert lab.rows("select state from partition where partition = ?", DAYS[1]) == [(state,)]
    if state == "published":
        assert {row["m"] for row in lab.read("s")} == {4.5, 5.25, 1234.5, 512}
