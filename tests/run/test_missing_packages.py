"""Packages that several assets lack: what the incident, its repair and the run's list say."""

from __future__ import annotations

from pathlib import Path

from runlab import DAYS, Lab

NEEDS = "def {name}(ctx: Context, orders):\n    import {package}\n    return orders"


def test_all_assets_that_lack_a_package_are_tried_again_once_it_is_installed(tmp_path: Path) -> None:
    """Would catch: "correct assets/a.py" of code that is right, and a command for the first of two assets only."""
    lab = Lab(tmp_path / "p")
    for name, package in {"a": "no_such_one", "b": "no_such_one", "c": "no_such_other"}.items():
        lab.python(name, NEEDS.format(name=name, package=package), partition="day", inputs=["orders"])
    lab.orders(DAYS[0])
    lab.tick()
    incidents = lab.headrace("incidents")
    repairs = {one["repair"]["first"]: one["repair"]["commands"] for one in incidents}
    assert repairs == {
        "install what is missing where Headrace runs: pip install no_such_one": ["headrace retry a", "headrace retry b"],
        "install what is missing where Headrace runs: pip install no_such_other": ["headrace retry c"],
    }
    rows = {row["node"]: (row["first"], row["commands"]) for row in lab.headrace("status")["repairs"]}
    assert rows["b"] == (
        "install what is missing where Headrace runs: pip install no_such_one",
        [f"headrace retry b@{DAYS[0]}"],
    )
    (lab.root / "no_such_one.py").write_text("")
    lab.headrace("apply", "--yes")
    for command in repairs["install what is missing where Headrace runs: pip install no_such_one"]:
        lab.headrace(*command.split()[1:])
    assert lab.rows("select node from partition where state = 'failed'") == [("c",)]
