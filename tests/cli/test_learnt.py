"""What is learnt of a source is shown at its first publication, and afterwards wherever the source
is.
"""

from __future__ import annotations

import pytest
from clilab import Project

NOW, LATER = "2025-03-04T08:00+01:00", "2025-03-05T08:00+01:00"
GOOD = "id,amount,day\n1,1.50,2025-03-01\n"
BAD = "id,amount,day\n1,2.50,2025-03-02\n2,x,2025-03-02\n"
SAID = "amount 'x' isn't DOUBLE (line 3 of landing/orders_2025-03-02.csv)"


@pytest.fixture
def project(new: Project) -> Project:
    for path in (new.root / "assets").iterdir():
        path.unlink()
    (new.root / "consumers.yaml").unlink()
    (new.root / "landing").mkdir()
    return new


def deliver(project: Project, *contents: str) -> None:
    for day, content in enumerate(contents, 1):
        (project.root / f"landing/orders_2025-03-0{day}.csv").write_text(content)


def test_a_tie_is_said_in_the_run_and_shown_ever_after(project: Project) -> None:
    """Would catch: a column that is text for ever because one of two first deliveries had a bad
    value, in silence.
    """
    deliver(project, GOOD, BAD)
    (row,) = (response := project.json("tick", "--now", NOW))["learnt"]
    assert [(item["name"], item["type"]) for item in row["columns"]] == [
        ("id", "BIGINT"),
        ("amount", "VARCHAR"),
        ("day", "DATE"),
    ]
    assert (row["source"], row["format"], row["encoding"], row["delimiter"]) == (
        "orders",
        "csv",
        "utf-8",
        ",",
    )
    assert row["header"] is True
    assert row["read_as"] == "CSV, UTF-8, comma, header"
    assert len(row["deliveries"]) == 2
    assert row["undecided"] == ["amount"]
    (disagreed,) = row["disagreed"]
    assert (disagreed["value"], disagreed["line"], disagreed["text"]) == ("x", 3, SAID)
    warned = [item for item in response["published"] if item["verdict"] == "warned"]
    assert len(warned) == 1
    assert any(SAID in (item["reason"] or "") for item in response["attempts"])

    assert project.json("contract", "show", "orders")["learnt"] == row
    listed = [item["learnt"] for item in project.json("deliveries", "orders")]
    assert [item for item in listed if item] == [row], (
        "it stands at the delivery that was the first"
    )
    for command in (["deliveries", "orders"], ["contract", "show", "orders"]):
        text = " ".join(project.text(*command).split())
        assert "orders is read as CSV, UTF-8, comma, header, learnt from 2 deliveries" in text
        assert SAID in text

    (project.root / "landing/orders_2025-03-03.csv").write_text(GOOD)
    assert project.json("tick", "--now", LATER)["learnt"] == [], "only at the first publication"


def test_a_classified_column_disagrees_without_its_value(project: Project) -> None:
    """Would catch: the value of a classified column that a first delivery had, shown to everybody
    who may see the source, and in the reason of the attempt (47, A.3)."""
    with (project.root / "sources/orders.yaml").open("a") as file:
        file.write("columns: {amount: {personal: true}}\n")
    deliver(project, GOOD, BAD.replace("2,x", "2,canary"))
    text = project.text("tick", "--now", NOW)
    shown = [project.text(*words) for words in
             (("deliveries", "orders", "--json"), ("contract", "show", "orders", "--json"),
              ("runs", "1", "--json"))]  # fmt: skip
    assert "amount isn't DOUBLE" in text and "amount isn't DOUBLE" in shown[0]
    assert "canary" not in "".join((text, *shown))


def test_most_deliveries_decide_and_the_one_that_does_not_agree_is_named(project: Project) -> None:
    deliver(project, GOOD, BAD, GOOD.replace("03-01", "03-03"))
    text = " ".join(project.text("tick", "--now", LATER).split())
    assert "orders is read as CSV, UTF-8, comma, header, learnt from 3 deliveries" in text
    assert "id BIGINT, amount DOUBLE, day DATE" in text
    assert f"doesn't agree: {SAID}" in text
    (held,) = [item for item in project.json("deliveries", "orders") if item["state"] == "held"]
    assert held["partition"] == "2025-03-02"


def test_a_value_that_makes_a_column_text_is_said_with_its_line(project: Project) -> None:
    """Would catch: amounts that are text for ever because of one value of the first file, in
    silence."""
    rows = "".join(f"{n},{n}.50,2025-03-01\n" for n in range(2, 40))
    deliver(project, f"id,amount,day\n1,abc,2025-03-01\n{rows}")
    said = (
        "amount 'abc' isn't a number (line 2 of landing/orders_2025-03-01.csv), 38 of 39 values"
        " are: read as text"
    )
    response = project.json("tick", "--now", NOW)
    (row,) = response["learnt"]
    assert [item for item in row["warnings"] if said in item] == row["warnings"] != []
    assert [item["verdict"] for item in response["published"]] == ["warned"], (
        "published all the same"
    )
    assert any(said in (item["reason"] or "") for item in response["attempts"])
    assert project.json("incidents") == [], "a column of text harms nobody by itself"
    for command in (["deliveries", "orders"], ["contract", "show", "orders"]):
        assert said in " ".join(project.text(*command).split())


def test_a_declared_encoding_that_the_first_delivery_has_not_is_said(project: Project) -> None:
    with (project.root / "sources/orders.yaml").open("a") as file:
        file.write("csv: {encoding: cp1252}\n")
    deliver(project, "id,name\n1,café\n")
    response = project.json("tick", "--now", NOW)
    (row,) = response["learnt"]
    assert (row["encoding"], row["declared_encoding"]) == ("utf-8", "cp1252")
    assert "though CP1252 is declared" in response["attempts"][0]["reason"]
    assert project.json("read", "orders")["rows"] == [{"id": 1, "name": "café"}]


def test_an_asset_that_fails_over_such_a_column_is_put_down_to_its_source(project: Project) -> None:
    """Would catch: `code_error`, owner the asset's, "correct assets/totals.sql", where one value of
    the vendor's first file is wrong; an incident over the file alone; one that goes on being the
    code's with the next file, while the column is still text."""
    (project.root / "sources/orders.yaml").write_text(
        "source: orders\nowner: acme\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    )
    (project.root / "owners.yaml").write_text(
        "acme: {kind: vendor, manager: data}\ndata: {kind: team}\n"
    )
    (project.root / "assets/totals.sql").write_text(
        "/* headrace\nowner: data\npartition: {by: day, column: day}\n*/\n"
        "select $partition_start as day, sum(amount) as amount from orders\n"
    )
    rows = "".join(f"{n},{n}.50\n" for n in range(2, 40))
    deliver(project, f"id,amount\n1,abc\n{rows}")
    for day in ("02", "03"):
        project.call(project.root, "tick", "--now", f"2025-03-{day}T08:00+01:00")
        (incident,) = project.json("incidents")
        assert (incident["cause"]["kind"], incident["cause"]["node"], incident["owner"]) == (
            "type_change",
            "orders",
            "acme",
        )
        assert "amount 'abc' isn't a number (line 2 of landing/orders_2025-03-01.csv)" in str(
            project.json("incident", incident["id"])
        )
        (project.root / "landing/orders_2025-03-02.csv").write_text(f"id,amount\n1,1.50\n{rows}")
