"""`headrace quarantine`."""

from __future__ import annotations

import gzip
from pathlib import Path

from clilab import Project

from headrace.operations.glimpse import CHARACTERS_MAX, ROWS_MAX, glimpse


def test_what_waits_and_why(shop: Project) -> None:
    held, rejected = shop.json("quarantine")
    assert set(held) >= {"node", "partition", "state", "verdict", "at", "reason", "path", "sample"}
    assert (held["node"], held["partition"], held["state"]) == ("orders", "2025-03-05", "held")
    assert "total" in held["reason"]
    assert held["delivery"] == "landing/orders_2025-03-05.csv"
    assert held["sample"][0] == {"id": "1", "customer": "Ada", "total": "19.90", "day": "2025-03-05"}
    assert (rejected["state"], rejected["rows"]) == ("rejected", 4)
    assert rejected["checks"][0]["kind"] == "unique"
    for row in (held, rejected):
        assert (shop.root / row["path"]).is_file()
        assert row["todo"]


def test_one_asset_or_partition(shop: Project) -> None:
    assert len(shop.json("quarantine", "orders")) == 1
    assert len(shop.json("quarantine", "orders_clean@2025-03-04")) == 1
    assert shop.json("quarantine", "orders_clean@2025-03-01") == []
    assert "did you mean `orders`" in shop.refused("quarantine", "ordrs")
    assert "2013-02-11" in shop.refused("quarantine", "orders@yesterday")


def test_a_person_sees_rows_path_and_what_to_do(shop: Project) -> None:
    text = shop.text("quarantine", "orders@2025-03-05")
    for said in ("landing/orders_2025-03-05.csv", "ask acme", "Grace", "total", ".headrace/raw/"):
        assert said in text


def test_subverbs_are_not_built(shop: Project) -> None:
    assert "not built yet" in shop.refused("quarantine", "accept", "orders@2025-03-05", code=2)


def test_exit_code(shop: Project, new: Project) -> None:
    assert shop.call(shop.root, "quarantine", "--exit-code")[0] == 1
    assert new.call(new.root, "quarantine", "--exit-code")[0] == 0


def test_a_glimpse_never_raises(tmp_path: Path) -> None:
    """Raw bytes are whatever a vendor sent."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for data in (
        b"",
        b"\0\0\0",
        b"a,b\n1",
        b'"' * 70_000,
        b"\xff\xfea\0,\0b\0",
        b"a;b\n1;2\n" * 50,
        gzip.compress(b"a,b\n1,2\n")[:12],
        b"x" * 500_000,
    ):
        (raw / "x").write_bytes(data)
        for name in ("x.csv", "x.jsonl", "x.csv.gz", "x.parquet", "x"):
            for row in glimpse(tmp_path, "raw/x", name):
                assert all(len(value) <= CHARACTERS_MAX for value in row.values())
    (raw / "x").write_bytes(b"a|b\n" + b"1|2\n" * 50)
    assert glimpse(tmp_path, "raw/x", "x.csv") == [{"a": "1", "b": "2"}] * ROWS_MAX
    (raw / "x").write_bytes(gzip.compress(b'{"a": 1}\n{"a": [2]}\nnothing\n'))
    assert glimpse(tmp_path, "raw/x", "x.jsonl.gz") == [{"a": "1"}, {"a": "[2]"}]
    assert glimpse(tmp_path, "raw/gone", "x.csv") == []
