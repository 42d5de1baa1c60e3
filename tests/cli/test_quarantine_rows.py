"""`on_fail: quarantine_rows`, in a real project: good rows pass, bad ones wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clilab import Project

FILES = {
    "headrace.toml": '[project]\nname = "sift"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: day\nfiles: landing/{date:%Y-%m-%d}.csv\non_fail:"
        " quarantine_rows\nexpect: {rows: '4..'}\nchecks:\n  - not_null: [customer]\n  - range:"
        ' {column: amount, min: 0}\n  - sql: {name: no_test, query: "select * from $self where'
        " customer = 'test'\"}\n  - row_count: {min: 1}\n"
    ),
    "assets/keyed.sql": (
        "/* headrace\nowner: core\npartition: day\non_fail: quarantine_rows\nchecks:\n  - unique:"
        " [id]\n*/\nselect id, customer, amount from orders\n"
    ),
    "assets/strict.sql": (
        "/* headrace\nowner: core\npartition: day\non_fail: quarantine_rows\nchecks:\n  - not_null:"
        " [id]\n  - sql: {name: not_many, query: 'select count(*) as n from $self having count(*) >"
        " 4'}\n*/\nselect id, customer, amount from orders\n"
    ),
}
HEADER = "id,customer,amount\n"
DAY = "2025-03-01"


def _project(root: Path, call: Callable[..., Any]) -> Project:
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    return Project(root, call)


def test_good_rows_pass_and_bad_rows_wait(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Would catch: a bad row published, a good one lost, a duplicate of a good row taken for one, a
    check of the whole that no row can answer for passed all the same, bad rows that nobody counts,
    an accepted exception that leaves them out."""
    shop = _project(tmp_path / "p", call)
    rows = [
        "1,Ada,5",
        "1,Ada,5",
        "2,,5",
        "2,,5",
        "3,Bo,-1",
        "4,test,1",
        "5,Cy,7",
        "6,Di,8",
        "7,Ed,",
    ]
    (shop.root / "landing" / f"{DAY}.csv").write_text(HEADER + "\n".join(rows) + "\n")
    code, out, err = call(shop.root, "tick", "--now", "2025-03-02T06:00+00:00")
    assert code in (0, 1), (out, err)
    source, keyed = f"orders@{DAY}", f"keyed@{DAY}"
    assert sorted(str(row["id"]) for row in shop.json("read", source)["rows"]) == [
        "1",
        "1",
        "5",
        "6",
        "7",
    ]
    (waiting,) = shop.json("quarantine", source)
    assert (waiting["state"], waiting["rows"]) == ("rejected", 4)
    assert {row["name"].split(":")[0] for row in waiting["checks"]} >= {"no_test"}
    (item,) = shop.json("deliveries", "orders")
    assert (item["state"], item["verdict"], item["rows"]) == ("published", "warned", 5)
    assert sorted(str(row["id"]) for row in shop.json("read", keyed)["rows"]) == [
        "5",
        "6",
        "7",
    ], "which of two is right isn't known"
    assert shop.json("quarantine", keyed)[0]["rows"] == 2
    (whole,) = shop.json("quarantine", f"strict@{DAY}")
    assert (whole["state"], whole["rows"]) == ("rejected", 5), "no row can be taken out for a count"
    assert (
        shop.json("quarantine", "drop", keyed, "--reason", "they'll come again")["state"]
        == "dropped"
    )
    assert shop.json("quarantine", keyed) == []
    assert len(shop.json("read", keyed)["rows"]) == 3
    made = shop.json("quarantine", "accept", source, "--reason", "the vendor stands by them")
    assert made["state"] == "published"
    assert len(shop.json("read", source)["rows"]) == 9
    assert [row["state"] for row in shop.json("quarantine", source)] == ["accepted"]
    tried = shop.json("try", keyed)
    assert (tried["state"], tried["rows_total"]) == ("warned", 5), "of 9, four share a key"
    other = "2025-03-02"
    (shop.root / "landing" / f"{other}.csv").write_text(HEADER + "1,Ada,5\n2,,5\n3,,5\n4,Bo,1\n")
    call(shop.root, "tick", "--now", "2025-03-03T06:00+00:00")
    (whole,) = shop.json("quarantine", f"orders@{other}")
    assert (whole["state"], whole["rows"]) == (
        "held",
        4,
    ), "too few are left: all of them wait, as they came"
    assert (
        shop.json("quarantine", "accept", f"orders@{other}", "--reason", "all of it")["state"]
        == "published"
    )
    assert len(shop.json("read", f"orders@{other}")["rows"]) == 4


def test_rows_come_back_once_their_check_is_looser(
    tmp_path: Path, call: Callable[..., Any]
) -> None:
    """Catches: rows that wait for ever after their check was corrected, a repair that finds nothing
    to do, and "exceptions that have lapsed" of rows that nobody accepted."""
    shop = _project(tmp_path / "p", call)
    rows = "1,Ada,5\n2,Bo,-1\n3,Cy,7\n4,Di,8\n5,Ed,9\n"
    (shop.root / "landing" / f"{DAY}.csv").write_text(HEADER + rows)
    call(shop.root, "tick", "--now", "2025-03-02T06:00+00:00")
    source, keyed = f"orders@{DAY}", f"keyed@{DAY}"
    assert len(shop.json("read", source)["rows"]) == 4
    assert "readers see the other rows of 1 partition" in shop.text("quarantine")
    path = shop.root / "sources/orders.yaml"
    path.write_text(path.read_text().replace("min: 0", "min: -1"))
    assert "rejected" in shop.text("plan")
    shop.text("apply", "--yes")
    call(shop.root, "tick", "--now", "2025-03-02T07:00+00:00")
    assert shop.json("quarantine", source) == []
    assert [len(shop.json("read", name)["rows"]) for name in (source, keyed)] == [5, 5]


def test_rows_of_an_asset_come_back_too(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Catches: an asset whose rows wait for ever, though no code of it has changed."""
    shop = _project(tmp_path / "p", call)
    (shop.root / "landing" / f"{DAY}.csv").write_text(HEADER + "1,Ada,5\n1,Bo,6\n3,Cy,7\n4,Di,8\n")
    call(shop.root, "tick", "--now", "2025-03-02T06:00+00:00")
    keyed = f"keyed@{DAY}"
    assert len(shop.json("read", keyed)["rows"]) == 2
    path = shop.root / "assets/keyed.sql"
    path.write_text(path.read_text().replace("[id]", "[id, customer]"))
    shop.text("apply", "--yes")
    call(shop.root, "tick", "--now", "2025-03-02T07:00+00:00")
    assert shop.json("quarantine", keyed) == []
    assert len(shop.json("read", keyed)["rows"]) == 4
