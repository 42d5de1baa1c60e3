"""The history of a node as its page draws it: where other code computed partitions."""

from __future__ import annotations

from clilab import GOOD, Project

from headrace.services.node_history import HistoryQuery, node_history
from headrace.services.session import ProjectSession


def deliver(shop: Project, day: str, now: str) -> None:
    text = "id,customer,amount,day\n" + GOOD.format(day)
    (shop.root / f"landing/orders_{day}.csv").write_text(text)
    shop.call(shop.root, "tick", "--now", now)


def test_a_mark_is_where_the_code_changed(shop: Project) -> None:
    """Would catch: a comment drawn as other code; new code of a file that isn't the declaration."""
    place = shop.root / "assets/revenue.sql"
    place.write_text(place.read_text().replace("owner: core", "owner: core\ndescription: a day's"))
    shop.json("apply", "--yes")
    deliver(shop, "2025-03-06", "2025-03-07T08:00+01:00")
    (shop.root / "macros").mkdir()
    (shop.root / "macros/gross.sql").write_text("create macro gross(net) as net * 1.19;\n")
    place.write_text(place.read_text().replace("sum(amount)", "sum(gross(amount))"))
    shop.json("apply", "--yes", "--keep", "revenue", "--reason", "from now on")
    deliver(shop, "2025-03-07", "2025-03-08T08:00+01:00")
    (shop.root / "macros/gross.sql").write_text("create macro gross(net) as net * 1.2;\n")
    shop.json("apply", "--yes", "--keep", "revenue", "--reason", "from now on")
    deliver(shop, "2025-03-08", "2025-03-09T08:00+01:00")
    session = ProjectSession(shop.root, "prod", None, "t")
    history = node_history(session, "revenue", HistoryQuery())
    versions = {point.partition: point.version for point in history.points}
    assert versions["2025-03-06"] > versions["2025-03-03"]
    assert [(mark.partition, mark.kind) for mark in history.marks if mark.kind == "code"] == [
        ("2025-03-07", "code"),
        ("2025-03-08", "code"),
    ]
