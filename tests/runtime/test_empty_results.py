"""Asset code that returns no rows before anything was published."""

from __future__ import annotations

from pathlib import Path

from runlab import DAYS, Lab


def test_declared_columns_are_those_of_no_rows(tmp_path: Path) -> None:
    """Would catch: "nothing was returned, so the columns aren't known", with the advice to declare
    them, where they are declared.
    """
    lab = Lab(tmp_path / "p")
    lab.orders(DAYS[0])
    body = "def none(ctx: Context, orders):\n    return []"
    lab.python(
        "none",
        body,
        partition="day",
        inputs=["orders"],
        columns={"customer": "VARCHAR", "value": "DOUBLE"},
    )
    lab.python("unknown", body.replace("none", "unknown"), partition="day", inputs=["orders"])
    attempts = {attempt.asset: attempt.state for attempt in lab.tick().attempts}
    assert attempts == {"orders": "published", "none": "published", "unknown": "failed"}
    shown = lab.headrace("read", "none")
    assert [(item["name"], item["type"]) for item in shown["columns"]] == [
        ("customer", "VARCHAR"),
        ("value", "DOUBLE"),
    ]
    assert shown["rows"] == []
