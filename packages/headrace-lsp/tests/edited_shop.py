"""A small project to edit: a source with a contract, three queries, Python, a consumer, a test."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[parameters]\nthreshold = 5\n',
    "owners.yaml": (
        "sales: {kind: team, contact: ['mailto:sales@example.com']}\n"
        "vendor: {kind: team, contact: ['mailto:vendor@example.com']}\n"
    ),
    "sources/orders.yaml": (
        "source: orders\nowner: vendor\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
        "description: Orders as the shop delivers them\n"
    ),
    "contracts/orders.odcs.yaml": """\
apiVersion: v3.0.2
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: order_id, logicalType: integer, physicalType: BIGINT}
      - {name: day, logicalType: date, physicalType: DATE}
      - {name: customer, logicalType: string, physicalType: VARCHAR}
      - {name: amount, logicalType: number, physicalType: DOUBLE}
""",
    "assets/clean.sql": """\
/* headrace
owner: sales
partition: {by: day, column: day}
checks:
  - unique: [order_id]
*/
select o.order_id, o.day, upper(o.customer) as customer, o.amount as price
from orders o
where o.day >= $partition_start and o.day < $partition_end
""",
    "assets/daily.sql": """\
/* headrace
owner: sales
partition: {by: day, column: day}
checks:
  - sql: {name: known, query: "select day from $self except select day from clean"}
*/
with paid as (select clean.day, price from clean where price > $threshold)
select day, sum(price) as revenue
from paid
where day >= $partition_start and day < $partition_end
group by day
""",
    "assets/best.sql": """\
/* headrace
owner: sales
partition: {by: day, column: day}
inputs: [clean]
*/
select day, customer, price
from clean
where day >= $partition_start and day < $partition_end
""",
    "assets/report.py": """\
from headrace import asset


@asset(owner="sales", partition="day", inputs=["daily"])
def report(daily):
    return daily.select(["day", "revenue"])
""",
    "consumers.yaml": (
        "- consumer: morning\n  owner: sales\n  reads: [daily, best]\n  due: '07:00'\n"
    ),
    "tests/clean.yaml": """\
- test: upper
  asset: clean
  partition: 2026-01-05
  given:
    orders: [{order_id: 1, day: 2026-01-05, customer: ann, amount: 2.0}]
  expect: [{order_id: 1, customer: ANN, price: 2.0}]
""",
}


def edited_shop(root: Path) -> Path:
    """Write the project."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root
