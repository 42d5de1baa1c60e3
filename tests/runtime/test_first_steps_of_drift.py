"""The first step for a held delivery says what its source can declare, or what to do instead."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from legacy_formats import NEEDS_LEGACY
from runlab import DAYS, Lab


@pytest.mark.parametrize(
    ("ending", "text", "declared", "values"),
    [
        pytest.param(
            "xml", "<f><row><n>5</n></row></f>", 'xml: {records: "//row"}', [5], marks=NEEDS_LEGACY
        ),
        ("csv", "Report\nof today\n\nn,who\n5,ann\n", "csv: {skip: 3}", [5]),
        ("csv", "n,who\n5,très\n", "csv: {encoding: cp1252}", [5]),
    ],
)
def test_a_rejected_first_file_names_what_to_declare(
    tmp_path: Path, ending: str, text: str, declared: str, values: list[object]
) -> None:
    """Would catch: a vendor who is asked for a file, where the source has to say how it is read."""
    lab = source(tmp_path, ending)
    (lab.root / f"landing/{DAYS[0]}.{ending}").write_bytes(text.encode("cp1252"))
    lab.tick()
    (incident,) = lab.headrace("incidents")
    step = f", or declare {declared} in sources/s.yaml and apply it"
    assert incident["repair"]["first"].endswith(step), incident["repair"]
    with (lab.root / "sources/s.yaml").open("a") as file:
        file.write(declared + "\n")
    lab.headrace("apply", "--yes")
    lab.tick()
    assert [row["n"] for row in lab.read("s")] == values


LOGICAL = {"DOUBLE": "number", "BIGINT": "integer", "DECIMAL(38,18)": "number", "VARCHAR": "string"}


@pytest.mark.long
@pytest.mark.parametrize("is_number", [True, False])
@pytest.mark.parametrize(
    ("number", "earlier", "kind"),
    [
        ("83094542621.77251", "0.5", "DOUBLE"),
        ("1E5", "5", "DOUBLE"),
        ("007", "5", "BIGINT"),
        ("19.999999999999999999", "0.5", "DECIMAL(38,18)"),
    ],
)
def test_the_type_that_a_contract_can_declare(
    tmp_path: Path, number: str, earlier: str, kind: str, is_number: bool
) -> None:
    """Would catch: a number that no repair lets in, or a repair that doesn't lead out."""
    lab = source(tmp_path, "csv")
    for day, text in zip(DAYS[:2], (earlier, number), strict=True):
        (lab.root / f"landing/{day}.csv").write_text(f"day,n\n{day},{text}\n")
        lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["repair"]["first"].endswith(
        f", or declare n as {kind} or VARCHAR in a contract (headrace contract infer s --write"
        " begins it) and apply it"
    )
    lab.headrace("contract", "infer", "s", "--write")
    contract, declared = lab.root / "contracts/s.odcs.yaml", kind if is_number else "VARCHAR"
    inferred = contract.read_text()
    before = inferred[: inferred.index("logicalType: ", inferred.index('name: "n"'))]
    types = f"logicalType: {LOGICAL[declared]}\n        physicalType: {declared}\n"
    contract.write_text(before + types)
    lab.headrace("apply", "--yes")
    lab.tick()
    values = [str(row["n"]) for row in sorted(lab.read("s"), key=lambda row: str(row["day"]))]
    if not is_number:
        assert values == [earlier, number]
    elif kind == "DOUBLE":
        assert [float(value) for value in values] == [float(earlier), float(number)]
    else:
        assert [Decimal(value) for value in values] == [Decimal(earlier), Decimal(number)]


@pytest.mark.parametrize(
    ("now", "step"),
    [
        ("id;n\n1;5,5\n", 'or with a decimal comma, declare csv: {decimal: ","} in sources/s.yaml'),
        ("id;n\n1;très\n", "such as csv: {encoding: cp1252} in sources/s.yaml"),
    ],
)
def test_what_can_be_declared(tmp_path: Path, now: str, step: str) -> None:
    """Would catch: a hint that only the reason of the held delivery has."""
    lab = source(tmp_path, "csv")
    for day, text in ((DAYS[0], "id;n\n1;5\n"), (DAYS[1], now)):
        (lab.root / f"landing/{day}.csv").write_bytes(text.encode("cp1252"))
        lab.tick()
    (incident,) = lab.headrace("incidents")
    assert step in incident["repair"]["first"], incident["repair"]


def test_a_decimal_comma_in_the_first_file(tmp_path: Path) -> None:
    """Would catch: a contract's decimals held at first with no word of what to declare."""
    lab = source(tmp_path, "csv", "contract: s\n")
    (lab.root / "contracts").mkdir()
    lab.write(
        "contracts/s.odcs.yaml",
        "apiVersion: v3.1.0\nkind: DataContract\nid: s\nversion: 1.0.0\nstatus: active\nschema:\n"
        "  - name: s\n    properties:\n      - {name: id, logicalType: integer}\n"
        "      - {name: n, logicalType: number, physicalType: 'DECIMAL(12,2)'}\n",
    )
    (lab.root / f"landing/{DAYS[0]}.csv").write_text("id;n\n1;1016,07\n2;5\n")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    declared = 'or with a decimal comma, declare csv: {decimal: ","} in sources/s.yaml'
    assert declared in incident["repair"]["first"], incident["repair"]


def test_another_type_that_cannot_become_null(tmp_path: Path) -> None:
    """Would catch: no word of what to do with a type that stays, where accepting doesn't help."""
    lab = source(tmp_path, "parquet")
    for day, values in ((DAYS[0], [1]), (DAYS[1], ["x"])):
        pq.write_table(pa.table({"n": values}), lab.root / f"landing/{day}.parquet")
        lab.tick()
    (incident,) = lab.headrace("incidents")
    first = incident["repair"]["first"]
    assert first.endswith(", or, if the new type stays, declare a source beside s that reads it")
    assert "accept" not in first


def source(folder: Path, ending: str, more: str = "") -> Lab:
    """A lab with one source of files of this kind."""
    lab = Lab(folder / "p")
    (lab.root / "sources/orders.yaml").unlink(missing_ok=True)
    files = f"landing/{{date:%Y-%m-%d}}.{ending}"
    lab.write("sources/s.yaml", f"source: s\nowner: acme\npartition: day\nfiles: {files}\n{more}")
    (lab.root / "landing").mkdir(exist_ok=True)
    return lab
