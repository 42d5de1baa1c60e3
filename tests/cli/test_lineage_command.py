"""`headrace lineage` and `headrace render`."""

from __future__ import annotations

from clilab import Project


def test_up_and_down_with_transformations(new: Project) -> None:
    response = new.json("lineage", "revenue.revenue")
    assert set(response) == {
        *("column", "upstream", "downstream", "affected_assets", "affected_consumers", "code")
    }
    assert response["column"] == "revenue.revenue"
    assert {
        "column": "orders_clean.amount",
        "via": "revenue.revenue",
        "transformation": "aggregate",
    } in response["upstream"]
    assert any(row["column"] == "orders.amount" for row in response["upstream"])
    assert {row["column"].split(".")[0] for row in response["downstream"]} == {"page", "fails"}
    assert sorted(response["affected_assets"]) == ["fails", "page"]
    assert response["affected_consumers"] == ["morning-report"]
    assert "a change affects" in new.text("lineage", "revenue.revenue")


def test_each_step_is_listed_once(new: Project) -> None:
    """Would catch: a row for each of several columns of a source whose columns aren't known."""
    (new.root / "assets/labels.sql").write_text(
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select day, id || customer as label from orders\n"
    )
    rows = [tuple(row.values()) for row in new.json("lineage", "orders")["downstream"]]
    assert len(rows) == len(set(rows))


def test_one_side_only(new: Project) -> None:
    up = new.json("lineage", "revenue", "--up")
    assert up["downstream"] is up["affected_consumers"] is None
    assert new.json("lineage", "revenue", "--down")["upstream"] is None
    assert "exclude each other" in new.refused("lineage", "revenue", "--up", "--down")


def test_what_is_not_there(new: Project) -> None:
    assert "did you mean `revenue`" in new.refused("lineage", "revnue")
    assert "revenue" in new.refused("lineage", "revenue.revnue")


def test_columns_that_only_data_has_shown_are_known_afterwards(new: Project, shop: Project) -> None:
    """A source without a contract has no columns until something was delivered."""
    assert new.json("render", "orders_clean")["columns"] is None
    assert shop.json("render", "orders_clean")["columns"][0] == {"name": "id", "type": "BIGINT"}


def test_render_binds_the_partition(shop: Project) -> None:
    response = shop.json("render", "revenue@2025-03-02")
    assert response["parameters"] == {
        "threshold": 15,
        "partition_start": "2025-03-02",
        "partition_end": "2025-03-03",
    }
    assert response["inputs"] == [
        {"node": "orders_clean", "mode": "required", "partitions": ["2025-03-02"], "published": 1}
    ]
    assert response["text"].startswith("select day")
    assert shop.json("render", "revenue")["partition"] == "2025-03-05", "the newest that has ended"
    assert (
        "def page" in shop.json("render", "page")["text"]
        or "page" in shop.json("render", "page")["text"]
    )
    assert "source" in shop.refused("render", "orders")
    assert "2013-02-11" in shop.refused("render", "revenue@tomorrow")
