"""Keys, chains and optional inputs in projects that really run."""

from __future__ import annotations

import os
from datetime import datetime

from runlab import Lab, published


def test_listed_keys_are_computed_one_by_one_and_gathered(lab: Lab) -> None:
    """Catches keys that aren't expected where the input isn't partitioned by them, and `$partition_key`
    that isn't bound.
    """
    lab.sql(
        "by_customer",
        "select day, customer, sum(amount) as amount from orders where customer = $partition_key"
        " group by day, customer",
        "partition: [{by: day, column: day}, {key: customer, values: [c0, c1, c2]}]",
    )
    lab.sql("back", "select day, count(*) as customers from by_customer group by day")
    lab.orders("2025-01-01")
    assert published(lab.tick()) == [
        ("back", "2025-01-01"),
        *(("by_customer", f"2025-01-01/c{i}") for i in range(3)),
        ("orders", "2025-01-01"),
    ]
    assert [row["customers"] for row in lab.read("back")] == [3]
    item = lab.run("by_customer", partitions=["2025-01-01/c1"], again=True, reason="to see")
    assert published(item) == [("by_customer", "2025-01-01/c1")]
    rows = lab.headrace("read", "by_customer", "--partition", "2025-01-01", "--format", "json")[
        "rows"
    ]
    assert sorted(row["customer"] for row in rows) == ["c0", "c1", "c2"]
    all_of_the_day = lab.run("by_customer", partitions=["2025-01-01"], again=True, reason="to see")
    assert published(all_of_the_day) == [("by_customer", f"2025-01-01/c{i}") for i in range(3)]


def test_rows_with_another_key_are_rejected(lab: Lab) -> None:
    """Catches a body that forgets `where customer = $partition_key`, whose rows would count three
    times.
    """
    lab.sql(
        "by_customer",
        "select day, customer, amount from orders",
        "partition: [{by: day, column: day}, {key: customer, values: [c0, c1]}]",
    )
    lab.orders("2025-01-01")
    lab.tick()
    rows = lab.rows(
        "select partition, state, reason from partition where node = 'by_customer' order by"
        " partition"
    )
    assert [(key, state) for key, state, _ in rows] == [
        ("2025-01-01/c0", "rejected"),
        ("2025-01-01/c1", "rejected"),
    ]
    assert "with another key than 2025-01-01/c0" in rows[0][2]


def test_self_is_the_partition_before(lab: Lab) -> None:
    """Catches a running total that reads itself, all of itself or nothing; restating a day redoes
    those after it in order.
    """
    lab.sql(
        "running",
        """select day, cast(amount + coalesce((select max(total) from $self), 0) as decimal(18, 2)) as total
        from (select day, sum(amount) as amount from orders group by day)""",
    )
    for day in ("2025-01-01", "2025-01-02", "2025-01-03"):
        lab.orders(day, n=2, amount="1.00")
    lab.tick()
    assert [(row["day"], float(row["total"])) for row in lab.read("running")] == [
        ("2025-01-01", 2.0),
        ("2025-01-02", 4.0),
        ("2025-01-03", 6.0),
    ]
    lab.orders("2025-01-02", n=3, amount="1.00")
    assert published(lab.tick()) == [
        ("orders", "2025-01-02"),
        ("running", "2025-01-02"),
        ("running", "2025-01-03"),
    ]
    assert [float(row["total"]) for row in lab.read("running")] == [2.0, 5.0, 7.0]


def weather(lab: Lab, day: str) -> None:
    path = lab.root / f"landing/weather_{day}.csv"
    path.write_text(f"day,rain\n{day},1.5\n")
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)


def test_an_optional_input_is_waited_for_then_done_without_then_used(lab: Lab) -> None:
    """Catches optional inputs that are never waited for, that hold everything up, or that make
    nothing stale when they come."""
    lab.write(
        "sources/weather.yaml",
        "source: weather\nowner: acme\npartition: day\nfiles:"
        " landing/weather_{date:%Y-%m-%d}.csv\nstart: '2025-01-08'\nexpect: {by: '+3d"
        " 13:00'}\ncontract: weather\n",
    )
    (lab.root / "contracts").mkdir()
    lab.write(
        "contracts/weather.odcs.yaml",
        "apiVersion: v3.0.2\nkind: DataContract\nid: weather\nname: weather\nversion:"
        " 1.0.0\nstatus: active\nschema:\n- name: weather\n  properties:\n  - {name: day,"
        " logicalType: date, physicalType: DATE}\n  - {name: rain, logicalType: number,"
        " physicalType: DOUBLE}\n",
    )
    lab.sql(
        "wet",
        "select o.day, count(*) as n, max(w.rain) as rain from orders o left join weather w on"
        " w.day = o.day group by o.day",
        "partition: {by: day, column: day}\ninputs: [{weather: {optional: true}}]",
    )
    lab.orders("2025-01-07")
    lab.orders("2025-01-08")
    assert published(lab.tick()) == [
        ("orders", "2025-01-07"),
        ("orders", "2025-01-08"),
        ("wet", "2025-01-07"),
    ]
    assert "weather 2025-01-08, but no longer than until 2025-01-11 13:00" in str(
        lab.run("wet").reason
    )
    lab.now = datetime.fromisoformat("2025-01-11T13:30:00+00:00")
    assert published(lab.tick()) == [("wet", "2025-01-08")]
    assert lab.rows(
        "select verdict, reason from attempt where node = 'wet' order by epoch desc, n desc limit 1"
    ) == [("warned", "computed without weather@2025-01-08, which hasn't come")]
    weather(lab, "2025-01-08")
    assert published(lab.tick()) == [("weather", "2025-01-08"), ("wet", "2025-01-08")]
    assert [row["rain"] for row in lab.read("wet")] == [None, 1.5]
