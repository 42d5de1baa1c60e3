"""`headrace diff`: what changed between two moments, row by row."""

from __future__ import annotations

from clilab import GOOD, Project

LATER = "2025-03-06T09:00+01:00"


def corrected(shop: Project) -> int:
    """Another delivery of 03-02: one amount differs, one row is gone, one is new. Gives the
    snapshot before it.
    """
    before: int = shop.json("read", "orders_clean")["snapshot"]
    rows = "1,Ada,20.90,2025-03-02\n2,Grace,5.00,2025-03-02\n4,Edsger,1.00,2025-03-02\n"
    (shop.root / "landing/orders_2025-03-02.csv").write_text("id,customer,amount,day\n" + rows)
    shop.json("tick", "--now", LATER)
    return before


def test_by_declared_keys_changed_rows_are_one_change(shop: Project) -> None:
    before = corrected(shop)
    response = shop.json("diff", "orders_clean", "--at", str(before))
    assert response["keys"] == ["id"] or response["keys"] is None
    response = shop.json("diff", "orders_clean@2025-03-02", "--at", str(before), "--keys", "id,day")
    assert [response[name] for name in ("rows_added", "rows_removed", "rows_changed")] == [1, 1, 1]
    assert response["cells"] == {"amount": 1}
    assert {row["change"]: (row["before"], row["after"]) for row in response["sample"]} == {
        "changed": (
            {"id": 1, "customer": "Ada", "amount": "19.90", "day": "2025-03-02"},
            {"id": 1, "customer": "Ada", "amount": "20.90", "day": "2025-03-02"},
        ),
        "added": (None, {"id": 4, "customer": "Edsger", "amount": "1.00", "day": "2025-03-02"}),
        "removed": ({"id": 3, "customer": "Linus", "amount": "7.10", "day": "2025-03-02"}, None),
    }
    assert response["partitions"] == [
        {"partition": "2025-03-02", "change": "republished", "rows_before": 3, "rows_after": 3}
    ]


def test_without_keys_rows_are_compared_whole(shop: Project) -> None:
    """revenue declares no key: a changed row is one removed and one added."""
    before = corrected(shop)
    response = shop.json("diff", "revenue", "--at", str(before))
    assert (
        response["keys"],
        response["rows_added"],
        response["rows_removed"],
        response["rows_changed"],
    ) == (None, 1, 1, None)
    text = shop.text("diff", "revenue", "--at", str(before))
    assert "- day=2025-03-02  revenue=32.00" in text
    assert "there are no keys" in text


def test_moments_are_times_or_snapshots(shop: Project) -> None:
    first = shop.json("diff", "orders", "--at", "2025-03-05T00:00+01:00")
    assert [row["partition"] for row in first["partitions"]] == ["2025-03-04"]
    assert first["rows_added"] == 4
    backwards = shop.json(
        "diff",
        "orders",
        "--at",
        str(first["after"]["snapshot"]),
        "--at",
        str(first["before"]["snapshot"]),
    )
    assert (backwards["rows_removed"], backwards["partitions"][0]["change"]) == (4, "removed")
    assert shop.json("diff", "revenue", "--at", "2025-03-05T00:00+01:00")["partitions"] == []
    shop.text("diff", "orders", "--at", "2025-03-05T00:00+01:00", "--exit-code", code=1)


def test_a_new_column_is_told_and_only_common_ones_are_compared(shop: Project) -> None:
    before: int = shop.json("read", "revenue")["snapshot"]
    path = shop.root / "assets/revenue.sql"
    path.write_text(path.read_text().replace("select day,", "select day, max(customer) as best,"))
    shop.text("apply", "--yes", "--now", LATER)
    shop.json("run", "revenue", "--partition", "2025-03-01", "--now", LATER)
    response = shop.json("diff", "revenue", "--at", str(before))
    assert response["columns"] == [
        {"column": "best", "change": "added", "before": None, "after": "VARCHAR"}
    ]
    assert (response["rows_added"], response["rows_removed"]) == (0, 0)


def test_what_cannot_be_compared_is_said(shop: Project, new: Project) -> None:
    for arguments, said in {
        ("revenue",): "two moments",
        ("revenue", "--at", "999"): "no snapshot 999",
        ("revenue", "--at", "noon"): "no time",
        ("revenues", "--at", "1"): "did you mean",
        ("revenue", "--at", "1", "--keys", "dat"): "did you mean `day`",
        ("page", "--at", "1"): "no rows to compare",
        ("revenue", "--at", "1", "--partition", "March"): "March",
    }.items():
        assert said in shop.refused("diff", *arguments)
    assert "isn't unique" in shop.refused(
        "diff", "orders", "--at", "1", "--keys", "customer", code=1
    )
    assert "ever published" in new.refused("diff", "revenue", "--at", "1")


def test_rows_of_a_hostile_source_do_no_harm(shop: Project) -> None:
    before: int = shop.json("read", "orders")["snapshot"]
    (shop.root / "landing/orders_2025-03-03.csv").write_text(
        "id,customer,amount,day\n" + GOOD.format("2025-03-03").replace("Ada", "x' or 1=1 --")
    )
    shop.json("tick", "--now", LATER)
    response = shop.json("diff", "orders", "--at", str(before), "--keys", "id,day")
    assert (response["rows_changed"], response["cells"]) == (1, {"customer": 1})
