"""The project that `init` writes where no files are named: small, and it runs as it stands."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = 3
IGNORED = ".headrace/\noutbox/\n"
_MESSAGES = """
# Where messages to `mailto:` contacts go: a folder, until it is url = "smtps://user:${PASSWORD}@smtp.example.com:587"
[notify.mail]
url = "file:outbox"
"""


class NewFile(NamedTuple):
    """A file to be written: its text or bytes, and its modification time where that matters."""

    data: bytes
    modified: float | None = None


def settings(name: str, timezone: str) -> str:
    """headrace.toml."""
    return f'[project]\nname = "{name}"\ntimezone = "{timezone}"\n\n[run]\nworkers = 2\n{_MESSAGES}'


OWNERS = """\
# Who answers for what. Every source, asset and consumer has exactly one owner.
me: {kind: team, contact: ["mailto:me@example.com"]}
"""

_SOURCE = """\
# Data that arrives from outside: one file a day, found by its name.
source: orders
owner: me
partition: day
files: landing/orders_{date:%Y-%m-%d}.csv
expect: {by: "08:00"}
"""

_CLEAN = """\
/* headrace
description: the day's orders, checked before anybody can read them
owner: me
partition: {by: day, column: order_date}
checks:
  - unique: [order_id]
  - not_null: [customer, amount]
  - range: {column: amount, min: 0}
*/
select
    order_id,
    customer,
    cast(amount as decimal(18, 2)) as amount,
    order_date
from orders
where order_date >= $partition_start and order_date < $partition_end
"""

_REVENUE = """\
/* headrace
description: orders and revenue of each day
owner: me
partition: {by: day, column: order_date}
checks:
  - row_count: {min: 1}
*/
select
    order_date,
    count(*) as orders,
    sum(amount) as revenue
from orders_clean
where order_date >= $partition_start and order_date < $partition_end
group by order_date
"""

_CONSUMERS = """\
# Who needs which data by when: this is what `headrace status` judges.
- consumer: morning-report
  owner: me
  reads: [daily_revenue]
  due: "09:00"
"""

_ORDERS = (
    ("Ada", "19.90"), ("Grace", "250.00"), ("Linus", "7.45"), ("Ada", "42.00"), ("Margaret", "99.95"),
    ("Edsger", "12.30"), ("Grace", "64.20"), ("Barbara", "310.10"), ("Linus", "5.00"), ("Ada", "88.80"), ("Donald", "17.25"),
)  # fmt: skip


def starter(name: str, timezone: str, now: datetime) -> dict[str, NewFile]:
    """Path → file of the starter project; its sample deliveries are of the last days before `now`."""
    texts = {
        "headrace.toml": settings(name, timezone),
        ".gitignore": IGNORED,
        "owners.yaml": OWNERS,
        "sources/orders.yaml": _SOURCE,
        "assets/orders_clean.sql": _CLEAN,
        "assets/daily_revenue.sql": _REVENUE,
        "consumers.yaml": _CONSUMERS,
    }
    today = now.astimezone(ZoneInfo(timezone)).date()
    files = {path: NewFile(text.encode()) for path, text in texts.items()}
    for back in range(DAYS, 0, -1):
        day = today - timedelta(days=back)
        files[f"landing/orders_{day}.csv"] = NewFile(_deliver(day, back).encode(), _delivered(day, timezone, now))
    return files


def _deliver(day: date, number: int) -> str:
    """A day's orders: some of the sample, the same on every machine."""
    orders = _ORDERS[number - 1 : number + 6]
    lines = [f"{day:%Y%m%d}{i:03},{customer},{amount},{day}" for i, (customer, amount) in enumerate(orders, 1)]
    return "\n".join(["order_id,customer,amount,order_date", *lines]) + "\n"


def _delivered(day: date, timezone: str, now: datetime) -> float:
    """As if the file had come at 05:00 on the day after, or a minute ago where that isn't over yet."""
    came = datetime.combine(day + timedelta(days=1), time(5), ZoneInfo(timezone))
    return min(came.timestamp(), now.timestamp() - 60)
