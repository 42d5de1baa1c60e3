"""Renames under which a name would mean something else are refused, though all still compiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.model import Refused
from headrace_lsp.opened import Documents, OpenProject
from headrace_lsp.renaming import edited, renaming

CONTRACT = """\
apiVersion: v3.0.2
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, physicalType: BIGINT}
      - {name: qty, logicalType: integer, physicalType: BIGINT}
      - {name: price, logicalType: number, physicalType: DOUBLE}
      - {name: note, logicalType: string, physicalType: VARCHAR}
"""
SOURCE = "source: {}\nowner: sales\npartition: day\nfiles: landing/{}_{{date:%Y-%m-%d}}.csv\n"
BASE = "select id, qty, price, note::double as note from orders"
DIM = "select id as did, 5 as other from orders"


def _project(root: Path, contract: str, queries: dict[str, str], checks: str) -> OpenProject:
    files = {
        "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n',
        "owners.yaml": "sales: {kind: team, contact: ['mailto:sales@example.com']}\n",
        "sources/orders.yaml": SOURCE.format("orders", "orders"),
    }
    if contract:
        files["contracts/orders.odcs.yaml"] = contract
    for name, query in ({"base": BASE, "dim": DIM} | queries).items():
        front = f"owner: sales\npartition: day\n{checks if name == 'base' else ''}"
        files[f"assets/{name}.sql"] = f"/* headrace\n{front}*/\n{query}\n"
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    return OpenProject(root, "prod", Documents())


def _renamed(
    root: Path,
    queries: dict[str, str],
    old: str,
    new: str,
    *,
    contract: str = CONTRACT,
    checks: str = "",
) -> dict[str, str]:
    """Return the queries after a rename of a column of `base`, or of `base` itself."""
    project = _project(root, contract, queries, checks)
    index = project.index()
    assert index is not None
    column = None if old == "base" else old
    target = next(index.everywhere("base", column)).at
    plan = renaming(index, project.project, target, new, applied=False)
    return {
        path: edited(index.snapshot.text(path), edits).split("*/\n")[1].strip()
        for path, edits in plan.edits.items()
        if path.endswith(".sql")
    }


@pytest.mark.parametrize(
    ("reader", "new"),
    [
        ("select id, qty * price as total, total * 0.1 as tax, note from base", "total"),
        ("select round(price) as r, count(*) as n, max(note) as mx from base group by r", "r"),
        ("select id, -price as p, note from base order by p limit 5", "p"),
        ("with t as (select id, note from base) select id, note from t", "t"),
        ("select b.id, b.note from base b", "b"),
        ("select b.id, b.note, d.other as x from base b join dim d on d.did = b.id", "other"),
        (
            "select did from dim where exists (select 1 from base where id = did and note > 1)",
            "did",
        ),
        ("select did from dim where exists (select 1 from base where note > 1)", "other"),
        ("select id, note from base", "order"),
        ("select id, note from base", "group"),
        ('select id, "note" from base', "qty"),
        ("select note, list_transform([1], total -> total + 1) as l from base", "total"),
        ("select did, note from base natural join (select id, id as did from orders)", "k"),
        ("select id, to_json(b) as j from base b", "k"),
        ("select id, to_json(base) as j from base", "k"),
        ("select * from (unpivot base on price, note into name n value v)", "k"),
        ("select id, sum(price) over (order by note) as note from base qualify note > 1", "k"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_column_isnt_renamed_where_its_name_would_be_captured(
    tmp_path: Path, reader: str, new: str, known: bool
) -> None:
    """Would catch: values that change under a rename that compiles (an alias takes the name)."""
    with pytest.raises(Refused):
        _renamed(tmp_path, {"reader": reader}, "note", new, contract=CONTRACT * known)


@pytest.mark.parametrize(
    ("base", "new"),
    [
        ("select id, -price as note from orders order by note, id limit 3", "price"),
        ("select id, -price as note from orders order by note, id limit 3", "qty"),
        ("select price > 1 as note, count(*) as n from orders group by note", "qty"),
        (
            "select -id as note, price from orders union all select id, price from orders order by note",
            "k",
        ),
    ],
)
def test_a_query_keeps_what_its_other_clauses_name(tmp_path: Path, base: str, new: str) -> None:
    """Would catch: ORDER BY that falls back on a column of the source, and other rows with it."""
    with pytest.raises(Refused):
        _renamed(tmp_path, {"base": base}, "note", new, contract=CONTRACT * ("qty" not in new))


def test_unknown_columns_of_a_source_may_be_what_is_named(tmp_path: Path) -> None:
    """Would catch: an alias's uses taken for columns that nobody has seen."""
    base = "select id, price * 2 as note from orders where note > 1"
    with pytest.raises(Refused, match=r"`base\.\*` would read or return something else"):
        _renamed(tmp_path, {"base": base}, "note", "k", contract="")


def test_a_check_that_names_the_column_is_no_reason_to_break_it(tmp_path: Path) -> None:
    """Would catch: a condition with the former name, which fails at the next run."""
    checks = 'checks:\n  - sql: {name: few, query: "select id from $self where note > 5"}\n'
    with pytest.raises(Refused, match="note"):
        _renamed(tmp_path, {}, "note", "k", contract="", checks=checks)


def test_a_table_isnt_renamed_to_what_a_query_calls_something_else(tmp_path: Path) -> None:
    """Would catch: a CTE that hides the renamed table."""
    reader = "with tidy as (select * from dim) select id, note from base, tidy"
    with pytest.raises(Refused, match="`tidy` is a name there already"):
        _renamed(tmp_path, {"reader": reader}, "base", "tidy")


def test_a_table_isnt_renamed_to_a_word_of_sql(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        _renamed(tmp_path, {"reader": "select id from base"}, "base", "order")


@pytest.mark.parametrize(
    ("queries", "new", "after"),
    [
        (
            {"reader": "select id, sum(note) as note from base group by id order by note"},
            "k",
            "select id, sum(k) as note from base group by id order by note",
        ),
        (
            {
                "reader": "with t as (select id, note * 2 as note from base)"
                " select id, note from t where note > 1"
            },
            "k",
            "with t as (select id, k * 2 as note from base) select id, note from t where note > 1",
        ),
        (
            {"reader": "select b.id, b.note, d.other as x from base b join dim d on d.did = b.id"},
            "k",
            "select b.id, b.k as note, d.other as x from base b join dim d on d.did = b.id",
        ),
        ({"reader": "select id, note from base -- k"}, "k", "select id, k as note from base -- k"),
        ({"reader": "select id, note from base"}, "Note", "select id, Note as note from base"),
        (
            {"reader": "select id, note, 'k' as kind from base"},
            "k",
            "select id, k as note, 'k' as kind from base",
        ),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_name_that_means_the_same_is_renamed(
    tmp_path: Path, queries: dict[str, str], new: str, after: str, known: bool
) -> None:
    """Would catch: a rename that is refused because a name occurs somewhere."""
    assert (
        _renamed(tmp_path, queries, "note", new, contract=CONTRACT * known)["assets/reader.sql"]
        == after
    )


def test_uses_of_an_alias_are_renamed_with_it(tmp_path: Path) -> None:
    base = "select round(price) as note, count(*) as n from orders group by note order by note"
    after = "select round(price) as k, count(*) as n from orders group by k order by k"
    contract = CONTRACT.replace("name: note,", "name: remark,")
    renamed = _renamed(tmp_path, {"base": base}, "note", "k", contract=contract)
    assert renamed["assets/base.sql"] == after
