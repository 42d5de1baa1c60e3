"""`headrace init`: what it writes runs as it stands."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from clilab import Project
from legacy_formats import NEEDS_LEGACY

from headrace.model.texts import MARKS

Call = Callable[..., Any]


def test_the_starter_runs_and_is_served(tmp_path: Path, call: Call) -> None:
    assert call(tmp_path, "init", "shop")[0] == 0
    shop = Project(tmp_path / "shop", call)
    response = shop.json("validate")
    assert (response["ok"], response["problems"]) == (True, [])
    assert response["counts"] == {"sources": 1, "assets": 2, "consumers": 1, "contracts": 0}
    assert shop.json("tick")["state"] == "succeeded"
    assert shop.json("status")["consumers"][0]["state"] == "served"
    assert len(shop.json("read", "daily_revenue")["rows"]) == 3


def test_from_one_file_without_a_date(tmp_path: Path, call: Call) -> None:
    """The README's last line: one CSV becomes a project that runs."""
    (tmp_path / "orders.csv").write_text(
        'id,"a b",amount,when\n1,x,2.5,2020-01-01\n2,y,3,2020-01-02\n'
    )
    assert call(tmp_path, "init", "shop", "--from", "orders.csv")[0] == 0
    shop = Project(tmp_path / "shop", call)
    assert shop.json("validate")["problems"] == []
    assert [(row["name"], row["partition"]) for row in shop.json("ls")] == [
        ("orders", "*"),
        ("orders_clean", "*"),
        ("orders-report", None),
    ]
    assert shop.json("tick")["state"] == "succeeded"
    assert shop.json("read", "orders_clean")["rows"][0] == {
        "id": 1,
        "a b": "x",
        "amount": 2.5,
        "when": "2020-01-01",
    }
    assert shop.json("status")["consumers"][0]["state"] == "served"


@NEEDS_LEGACY
def test_a_title_above_the_header_of_a_sheet_is_declared(tmp_path: Path, call: Call) -> None:
    """Would catch: a table whose columns are called `Report` and `column_2`, or XML that `init`
    refuses with what nobody can declare before there is a project."""
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["Report"], [], ["id", "name"], [1, "a"], [2, "b"]):
        book.active.append(row)
    book.save(tmp_path / "bank.xlsx")
    (tmp_path / "pays.xml").write_text(
        '<r><at>now</at><pay id="007"><amt>1E5</amt></pay><pay id="2"><amt>7</amt></pay></r>'
    )
    assert call(tmp_path, "init", "shop", "--from", "bank.xlsx", "pays.xml")[0] == 0
    assert "excel: {header: 3}" in (tmp_path / "shop/sources/bank.yaml").read_text()
    assert 'xml: {records: "//pay"}' in (tmp_path / "shop/sources/pays.yaml").read_text()
    assert 'name: "name"\n' in (tmp_path / "shop/contracts/bank.odcs.yaml").read_text()


def test_lines_above_the_header_are_declared(tmp_path: Path, call: Call) -> None:
    """Would catch: `init` that refuses a file with titles, or a source that can't read it."""
    (tmp_path / "bank.csv").write_text(
        '"Source","Bank",\n\n"id","name","1960",\n1,"a",,\n2,"b",7,\n'
    )
    assert call(tmp_path, "init", "shop", "--from", "bank.csv")[0] == 0
    assert "csv: {skip: 2}" in (tmp_path / "shop/sources/bank.yaml").read_text()
    contract = (tmp_path / "shop/contracts/bank.odcs.yaml").read_text()
    assert "Source" not in contract
    assert '"1960"' in contract


@pytest.mark.parametrize("above", ["Report,of,2024\n", "Source,X,\n\nLast,2026-01-01,\n\n"])
def test_titles_as_wide_as_the_header_are_declared(tmp_path: Path, call: Call, above: str) -> None:
    """Would catch: a title as columns of the contract, or a declaration of another line."""
    (tmp_path / "bank.csv").write_text(f"{above}Country,Code,1960\nAruba,ABW,5\nPeru,PER,7\n")
    assert call(tmp_path, "init", "shop", "--from", "bank.csv")[0] == 0
    lines = above.count("\n")
    assert f"csv: {{skip: {lines}}}" in (tmp_path / "shop/sources/bank.yaml").read_text()
    assert "Country" in (tmp_path / "shop/contracts/bank.odcs.yaml").read_text()


def test_a_decimal_comma_is_declared(tmp_path: Path, call: Call) -> None:
    """Would catch: amounts that become text, without a word."""
    (tmp_path / "sales.csv").write_text("till;amount\n1;1016,07\n2;2,50\n")
    assert call(tmp_path, "init", "p", "--from", "sales.csv")[0] == 0
    source = (tmp_path / "p/sources/sales.yaml").read_text()
    assert 'csv: {decimal: ","}' in source
    contract = (tmp_path / "p/contracts/sales.odcs.yaml").read_text()
    assert 'name: "amount"\n        logicalType: number' in contract
    assert call(tmp_path / "p", "tick")[0] == 0
    rows = call(tmp_path / "p", "sql", "select sum(amount) as total from sales_clean")
    assert "1018.57" in str(rows)


def test_what_offices_send_becomes_a_project_that_runs(tmp_path: Path, call: Call) -> None:
    """Would catch: Windows-1252 that is refused, a document's records as one cell, or `init` that
    doesn't say what it took for what."""
    lines = ("Umsatz München", "", "Nr;Straße;Betrag", "1;Lärchenweg;1.234,50", "2;Am Fuß;9,00")
    (tmp_path / "Umsatz.csv").write_bytes("\r\n".join([*lines, ""]).encode("cp1252"))
    page = {"data": [{"id": 1, "city": "Köln"}, {"id": 2, "city": "Bonn"}], "total": 2}
    (tmp_path / "one line.json").write_text(json.dumps(page))
    (tmp_path / "customers.json").write_text(json.dumps(page, indent=1))
    book = openpyxl.Workbook()
    for name in ("Orders", "Prices"):
        for row in (["Export"], [], ["sku", "price"], ["a", 1.5]):
            book.create_sheet(name).append(row) if row == ["Export"] else book[name].append(row)
    book["Sheet"].append(["sku", "returned"])
    book.save(tmp_path / "q4.xlsx")
    code, out, err = call(
        tmp_path, "init", "shop", "--from", "Umsatz.csv", "one line.json", "customers.json",
        "q4.xlsx", "--json",
    )  # fmt: skip
    assert code == 0, err
    response = json.loads(out)
    assert response["declared"] == {
        "umsatz": 'csv: {encoding: "cp1252", skip: 2, decimal: ","}',
        "one_line": 'json: {records: "$.data"}',
        "customers": 'json: {records: "$.data"}',
        "q4_orders": 'excel: {sheet: "Orders", header: 3}',
        "q4_prices": 'excel: {sheet: "Prices", header: 3}',
    }
    assert "q4.xlsx: `Sheet` has no rows below its first, and is left out" in response["notes"]
    assert response["samples"]["umsatz"][0] == {
        "Nr": "1",
        "Straße": "Lärchenweg",
        "Betrag": "1234.5",
    }
    shop = Project(tmp_path / "shop", call)
    assert shop.json("validate")["problems"] == []
    assert shop.json("run")["state"] == "succeeded"
    assert shop.json("read", "customers_clean")["rows"][1] == {"id": 2, "city": "Bonn"}
    assert shop.json("read", "umsatz_clean")["rows"][1]["Straße"] == "Am Fuß"


def test_types_are_printed(tmp_path: Path, call: Call) -> None:
    """Would catch: amounts that are text, which only a first failing sum tells."""
    (tmp_path / "sales.csv").write_text("till,amount\n1,$2.50\n2,$3.00\n")
    out = call(tmp_path, "init", "shop", "--from", "sales.csv")[1]
    assert "till BIGINT, amount VARCHAR" in out


def test_other_encodings_are_told(tmp_path: Path, call: Call) -> None:
    """Would catch: a guess without a word, and letters of another alphabet as Windows-1252."""
    (tmp_path / "cz.csv").write_bytes("a,b\nMichal,\xe8erven\n".encode("latin-1"))
    (tmp_path / "ru.csv").write_bytes("имя,город\nАнна,Москва\nПётр,Омск\n".encode("cp1251"))
    code, out, err = call(tmp_path, "init", "shop", "--from", "cz.csv", "ru.csv", "--json")
    assert code == 0, err
    response = json.loads(out)
    assert response["samples"]["ru"][0] == {"имя": "Анна", "город": "Москва"}
    [note] = response["notes"]
    assert "`č` in cp1250" in note and "cp1252 is declared" in note


def test_a_json_object_without_records_is_one_record(tmp_path: Path, call: Call) -> None:
    (tmp_path / "settings.json").write_text('{\n "id": 7,\n "names": ["a", "b"]\n}\n')
    (tmp_path / "log.jsonl").write_text('{"id": 1, "items": [{"sku": 1}, {"sku": 2}]}\n')
    code, out, err = call(
        tmp_path, "init", "shop", "--from", "settings.json", "log.jsonl", "--json"
    )
    assert code == 0, err
    response = json.loads(out)
    assert response["declared"] == {"settings": 'json: {records: "$"}'}
    assert response["samples"]["settings"] == [{"id": "7", "names": "[a, b]"}]
    assert response["samples"]["log"][0]["id"] == "1", "a line isn't a document"


def test_an_object_of_objects_is_a_row_of_each(tmp_path: Path, call: Call) -> None:
    """Would catch: records by their ids as one row of many columns."""
    keyed = '{"id1": {"n": 1}, "id2": {"n": 2, "m": [3]}, "\\u00e9 \\"": {}}'
    (tmp_path / "keyed.json").write_text(keyed)
    (tmp_path / "below.json").write_text('{"at": "now", "rows": {"7": {"id": 1}, "8": {"id": 2}}}')
    (tmp_path / "one.json").write_text('{"id": 1, "at": {"city": "Oslo"}}')
    files = ("keyed.json", "below.json", "one.json")
    answer = json.loads(call(tmp_path, "init", "p", "--from", *files, "--json")[1])
    assert answer["declared"] == {
        "keyed": 'json: {keys: "id"}',
        "below": 'json: {records: "$.rows", keys: "key"}',
    }
    assert call(tmp_path / "p", "run")[0] == 0
    project = Project(tmp_path / "p", call)
    rows = project.json("sql", "select id, n, m from keyed order by n")["rows"]
    assert [(row["id"], row["n"]) for row in rows] == [("id1", 1), ("id2", 2), ('é "', None)]
    assert project.json("sql", "select key, id from below order by id")["rows"] == [
        {"key": "7", "id": 1},
        {"key": "8", "id": 2},
    ]


@pytest.mark.parametrize(
    ("document", "declared"),
    [
        (
            {"types": {"a": {"is": "id"}, "b": {"is": "text"}}, "rows": [{"a": 1}, {"a": 2}] * 2},
            'json: {records: "$.rows"}',
        ),
        (
            {"links": {"self": {"href": "x"}, "last": {"href": "y", "n": 3}}, "data": [{"a": 1}]},
            'json: {records: "$.data"}',
        ),
        (
            {"ann": {"n": 1, "tags": [{"t": 1}] * 9}, "bob": {"n": 2, "tags": []}},
            'json: {keys: "id"}',
        ),
    ],
)
def test_the_records_of_a_document_are_its_most(
    tmp_path: Path, call: Call, document: Any, declared: str
) -> None:
    """Would catch: two objects beside a list of hundreds taken for the records; the lists inside of
    records that stand by their keys."""
    (tmp_path / "x.json").write_text(json.dumps(document))
    answer = json.loads(call(tmp_path, "init", "p", "--from", "x.json", "--json")[1])
    assert answer["declared"] == {"x": declared}


@pytest.mark.parametrize("key", ["my data", "a.b", "it's", "Größe"])
def test_records_below_an_odd_key(tmp_path: Path, call: Call, key: str) -> None:
    """Would catch: a path that `init` writes and `validate` refuses, and one of another key."""
    (tmp_path / "x.json").write_text(json.dumps({"b": [1], key: [{"id": 1}, {"id": 2}]}))
    assert call(tmp_path, "init", "p", "--from", "x.json")[0] == 0
    assert call(tmp_path / "p", "run")[0] == 0
    project = Project(tmp_path / "p", call)
    assert project.json("read", "x_clean")["rows"] == [{"id": 1}, {"id": 2}]


def test_a_total_is_no_data(tmp_path: Path, call: Call) -> None:
    """Would catch: the sum of all rows as one more row, so that each sum of the asset is twice
    what it should be, and a check on its label.
    """
    lines = ("Nr;Kunde;Betrag", "1;Ann;1.234,50", "2;Bob;2,00", "Summe:;;1.236,50")
    (tmp_path / "umsatz.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "kinds.csv").write_text("kind,n\nsum,1\nmax,2\n")
    code, out, err = call(tmp_path, "init", "p", "--from", "umsatz.csv", "kinds.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["notes"] == [
        "the last row of umsatz is a total: umsatz_clean leaves out rows with 'Summe:' in Nr"
    ]
    assert call(tmp_path / "p", "run")[0] == 0
    project = Project(tmp_path / "p", call)
    rows = project.json("sql", "select sum(Betrag) as s, count(*) as n from umsatz_clean")["rows"]
    assert rows == [{"s": 1236.5, "n": 2}]
    assert len(project.json("read", "umsatz")["rows"]) == 3, "what was delivered stays as it is"


def test_the_lower_of_two_headers_names_the_columns(tmp_path: Path, call: Call) -> None:
    """Would catch: names as the first row of data, and numbers that are text because of it."""
    header = (["", "Q1", "", "Q2", ""], ["region", "units", "sales", "units", "sales"])
    rows = (["A", 1, 2.5, 3, 4.5], ["B", 2, 3.5, 4, 5.5])
    text = "\n".join(",".join(map(str, row)) for row in (*header, *rows)) + "\n"
    (tmp_path / "two.csv").write_text(text)
    (tmp_path / "titled.csv").write_text("As of,now\n\n" + text)
    (tmp_path / "texts.csv").write_text("k,a,b\nx,n/a,n/a\ny,1,2\nz,3,4\n")
    code, out, err = call(
        tmp_path, "init", "p", "--from", "two.csv", "titled.csv", "texts.csv", "--json"
    )
    assert code == 0, err
    answer = json.loads(out)
    assert answer["declared"] == {"two": "csv: {skip: 1}", "titled": "csv: {skip: 3}"}
    row = {"region": "A", "units": "1", "sales": "2.5", "units_2": "3", "sales_2": "4.5"}
    assert answer["samples"]["two"][0] == answer["samples"]["titled"][0] == row
    assert call(tmp_path / "p", "run")[0] == 0
    project = Project(tmp_path / "p", call)
    total = project.json("sql", "select sum(units) as u, sum(sales_2) as s from two_clean")
    assert total["rows"] == [{"u": 3, "s": 10.0}]


@pytest.mark.parametrize(
    ("amounts", "number"),
    [
        (("$1,234.50", "-$2.00"), """cast(translate("x", '$,', '') as decimal(18, 2))"""),
        (("1,234.50", "2.00"), """cast(translate("x", ',', '') as decimal(18, 2))"""),
        (
            ("1.234,50 €", "2,00 €"),
            """cast(replace(translate("x", ' .€', ''), ',', '.') as decimal(18, 2))""",
        ),
        (("1,200", "3,400"), None),
        (("$5", "five"), None),
        (("10%", "5"), None),
        (("€1.250", "€2.500"), None),
        (("€1.250", "€0.5"), None),
    ],
)
def test_amounts_are_text_and_said_to_be(
    tmp_path: Path, call: Call, amounts: tuple[str, ...], number: str | None
) -> None:
    """Would catch: amounts as text without a word, or a cast that isn't their number."""
    (tmp_path / "a.csv").write_text("id;x\n" + "".join(f"{n};{x}\n" for n, x in enumerate(amounts)))
    notes = json.loads(call(tmp_path, "init", "p", "--from", "a.csv", "--json")[1])["notes"]
    assert [note.partition(" write ")[2] for note in notes] == (
        [f"{number} in assets/a_clean.sql"] if number else []
    )
    if number:
        assert call(tmp_path / "p", "run")[0] == 0
        query = f"select {number} as n from a_clean"
        rows = Project(tmp_path / "p", call).json("sql", query)["rows"]
        assert [row["n"] for row in rows] == ["1234.50", "-2.00" if "-" in amounts[1] else "2.00"]


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (("($12.00)", "$3.50"), ["-12.00", "3.50"]),
        (("1,234.50-", "5"), ["-1234.50", "5.00"]),
        (("(1.234,50)", "2,00"), ["-1234.50", "2.00"]),
        (("10%", "-2.5%"), ["0.1000", "-0.0250"]),
        (("0.125%", "10%"), ["0.00125", "0.10000"]),
        (("1.250,1255 €", "2 €"), ["1250.1255", "2.0000"]),
    ],
)
def test_signs_of_accountants_and_per_cent_are_said_to_be_text(
    tmp_path: Path, call: Call, written: tuple[str, ...], numbers: list[str]
) -> None:
    """Would catch: amounts as text without a word, or a conversion that loses their sign."""
    (tmp_path / "a.csv").write_text("id;x\n" + "".join(f"{n};{x}\n" for n, x in enumerate(written)))
    (note,) = json.loads(call(tmp_path, "init", "p", "--from", "a.csv", "--json")[1])["notes"]
    assert call(tmp_path / "p", "run")[0] == 0
    number = note.partition(" write ")[2].partition(" in assets/")[0]
    query = f"select {number} as n from a_clean order by id"
    rows = Project(tmp_path / "p", call).json("sql", query)["rows"]
    assert [row["n"] for row in rows] == numbers


def test_run_names_and_applies_edits(tmp_path: Path, call: Call) -> None:
    """Would catch: `run` after an edit that says `nothing is due`, and no more."""
    assert call(tmp_path, "init", "shop")[0] == 0
    shop = Project(tmp_path / "shop", call)
    assert shop.json("run")["state"] == "succeeded"
    asset = tmp_path / "shop/assets/daily_revenue.sql"
    asset.write_text(asset.read_text().replace("count(*)", "2 * count(*)"))
    out = call(tmp_path / "shop", "run")[1]
    assert "not applied yet: daily_revenue" in out
    assert "next: headrace run --apply" in out
    code, _, err = call(tmp_path / "shop", "run", "--apply")
    assert (code, "headrace run --apply --yes" in err) == (3, True), "nobody was asked"
    _, _, err = call(
        tmp_path / "shop",
        *("run", "daily_*", "--apply", "--exclude", "orders", "--partition", "2026-01-05"),
        *("--again", "--reason", "it's wrong"),
    )
    hint = (
        "headrace run 'daily_*' --exclude orders --partition 2026-01-05"
        """ --reason 'it'"'"'s wrong' --again --apply --yes"""
    )
    assert hint in err, "the hint runs no more than was selected"
    response = shop.json("run", "--apply", "--yes")
    assert (response["state"], len(response["published"]), response["unapplied"]) == (
        "succeeded",
        3,
        None,
    )
    assert call(tmp_path / "shop", "--env", "dev", "run")[0] == 0, "init declares an environment"


def test_from_daily_files_as_a_shell_gives_them(tmp_path: Path, call: Call) -> None:
    names = []
    for day in range(1, 4):
        name = f"sales 2025-01-0{day}.csv.gz"
        (tmp_path / name).write_bytes(gzip.compress(f"sku;n\nA{day};{day}\nB{day};0.5\n".encode()))
        names.append(name)
    assert call(tmp_path, "init", "shop", "--from", *names)[0] == 0
    shop = Project(tmp_path / "shop", call)
    assert shop.json("validate")["problems"] == []
    assert shop.json("tick")["state"] == "succeeded"
    rows = shop.json("read", "sales_clean")["rows"]
    assert {(row["day"], row["sku"]) for row in rows} == {
        (f"2025-01-0{day}", f"{letter}{day}") for day in (1, 2, 3) for letter in "AB"
    }
    assert {row["n"] for row in rows} == {1, 2, 3, 0.5}, (
        "a column that is whole on the first day only isn't narrowed to whole numbers"
    )


def test_from_parquet_and_json_lines_together(tmp_path: Path, call: Call) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"Order": [1, 2], "sélect": ["a", "b"]}), tmp_path / "o'rders.parquet")
    (tmp_path / "log.jsonl").write_text('{"a": 1, "b": {"c": [1]}}\n{"a": 2}\n')
    assert call(tmp_path, "init", "x", "--from", "o'rders.parquet", "log.jsonl")[0] == 0
    project = Project(tmp_path / "x", call)
    assert project.json("validate")["problems"] == []
    assert project.json("tick")["state"] == "succeeded"
    assert project.json("read", "o_rders_clean")["rows"] == [
        {"Order": 1, "sélect": "a"},
        {"Order": 2, "sélect": "b"},
    ]


def test_nothing_is_ever_overwritten(tmp_path: Path, call: Call) -> None:
    assert call(tmp_path, "init")[0] == 0
    code, _, err = call(tmp_path, "init")
    assert code == 1
    assert "is there already" in err
    other = tmp_path / "other"
    other.mkdir()
    (other / "owners.yaml").write_text("mine")
    code, _, err = call(tmp_path, "init", "other")
    assert code == 1
    assert "owners.yaml" in err
    assert (other / "owners.yaml").read_text() == "mine"
    assert sorted(path.name for path in other.iterdir()) == ["owners.yaml"], "nothing half-made"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"PAR1 nothing PAR1", "data"),
        (b"\x7fELF\0\0\0\0\0\0\0\0", "data"),
        (b"a,b\n1,2,3\n4\n", "data"),
        (b'{"a": 1}\n{broken\n', "data"),
        (b"1,2\n3,4\n", "not like a header: `1`, `2`"),
    ],
)
def test_files_that_are_no_data_are_refused_and_nothing_is_written(
    tmp_path: Path, call: Call, data: bytes, said: str
) -> None:
    (tmp_path / "x.bin").write_bytes(data)
    code, out, err = call(tmp_path, "init", "shop", "--from", "x.bin")
    assert (code, out) == (2, "")
    assert "x.bin" in err
    assert said in err
    assert not set(MARKS) & set(err)
    assert not (tmp_path / "shop").exists()


def test_files_that_are_not_there(tmp_path: Path, call: Call) -> None:
    (tmp_path / "folder").mkdir()
    for name, said in (("nowhere.csv", "no file"), ("folder", "is no file")):
        code, _, err = call(tmp_path, "init", "shop", "--from", name)
        assert code == 2
        assert said in err
    assert "--from" in call(tmp_path, "init", "shop", "--from")[2]


def test_files_below_landing_stay_where_they_are(tmp_path: Path, call: Call) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/orders.csv").write_text("id,n\n1,2\n")
    code, out, err = call(tmp_path, "init", "--from", "landing/orders.csv", "--json")
    assert code == 0, err
    assert "landing/orders.csv" not in json.loads(out)["files"]
    assert Project(tmp_path, call).json("tick")["state"] == "succeeded"


def test_the_name_and_the_zone_are_valid_whatever_they_are(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Not/AZone")
    for name in ('a"b', "  ", "x'; drop", "ü"):
        assert call(tmp_path, "init", name)[0] == 0
        assert Project(tmp_path / name, call).json("validate")["ok"] is True
