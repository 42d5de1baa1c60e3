"""A small shop in which each kind of thing happens once, told as commands: what golden files are
made of.

Times are given with `--now`. Looks lie apart from deadlines, since a command takes as long as it
takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple


class File(NamedTuple):
    """A file of the project, written anew, and when it says that it was written."""

    path: str
    text: str
    at: datetime | None = None


class Line(NamedTuple):
    """A line that is typed, without `headrace`, and when."""

    text: str
    now: str


Step = File | Line

ORDERS_MODEL = (
    "{{ config(materialized='table') }}\nselect id, amount from {{ ref('raw_orders') }}\n"
)
"""A model of dbt that only copies columns."""

PROJECT = {
    "headrace.toml": (
        '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n\n[run]\nworkers ='
        ' 1\n\n[connections.warehouse]\ntype = "sqlite"\npath ='
        ' "warehouse.db"\n\n[parameters]\nlowest = 1\n'
    ),
    "owners.yaml": (
        "core: {kind: team, contact: ['file:mails']}\n"
        "acme: {kind: vendor, manager: core, contact: ['file:mails']}\n"
        "finance: {kind: team, manager: core}\n"
    ),
    "sources/orders.yaml": (
        "source: orders\nowner: acme\npartition: day\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\nexpect: {by: '05:00'}\n"
    ),
    "sources/customers.yaml": "source: customers\nowner: core\nfiles: landing/customers.csv\n",
    "assets/orders_clean.sql": (
        "/* headrace\nowner: core\ntags: [daily]\npartition: {by: day, column: day}\nchecks:\n  -"
        " unique: [id]\n*/\nselect id, customer, cast(amount as decimal(18, 2)) as amount, cast(day"
        " as date) as day\nfrom orders where amount >= $lowest\n"
    ),
    "assets/revenue.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select day, c.country, sum(amount) as revenue, count(*) as orders\n"
        "from orders_clean join customers c on c.name = customer group by all\n"
    ),
    "assets/page.py": (
        "from headrace import Context, asset\n\n\n"
        "@asset(owner='core', partition='day', inputs=['revenue'], materialize='files')\n"
        "def page(ctx: Context, revenue):\n"
        "    print('writing the page of', ctx.partition)\n"
        "    (ctx.output_directory / 'page.html').write_text(str(revenue.num_rows))\n"
    ),
    "consumers.yaml": (
        "- {consumer: morning-report, owner: finance, reads: [revenue, page], due: '07:00'}\n"
        "- consumer: ledger-book\n  owner: finance\n  reads: [revenue]\n  due: '08:00'\n"
        "  export: {to: {connection: warehouse, table: revenue}}\n"
        "- {consumer: dashboard, owner: core, reads: [orders_clean], max_age: 32h}\n"
    ),
    "tests/revenue.yaml": (
        "- test: countries are summed\n  asset: revenue\n  partition: '2025-03-01'\n  given:\n"
        "    orders_clean:\n      - {id: 1, customer: Ada, amount: 2.5, day: '2025-03-01'}\n"
        "      - {id: 2, customer: Ada, amount: 1.5, day: '2025-03-01'}\n"
        "    customers:\n      - {name: Ada, country: GB}\n"
        "  expect:\n    - {day: '2025-03-01', country: GB, revenue: 4.0, orders: 2}\n"
    ),
}
TWICE = PROJECT["assets/revenue.sql"].replace("sum(amount)", "2 * sum(amount)")
HEADER, RENAMED = "id,customer,amount,day\n", "id,customer,total,day\n"
ROWS = ((1, "Ada", "19.90"), (2, "Grace", "5.00"), (3, "Linus", "7.10"))
LOOKS = ("status", "incidents", "why morning-report")


def orders(day: str, *more: str, header: str = HEADER) -> str:
    """A day's file."""
    return header + "".join(
        f"{row}\n" for row in (*(f"{n},{name},{amount},{day}" for n, name, amount in ROWS), *more)
    )


def _landing(day: str, text: str, hour: str = "03:30") -> File:
    following = datetime.fromisoformat(day) + timedelta(days=1)
    return File(
        f"landing/orders_{day}.csv",
        text,
        datetime.fromisoformat(f"{following:%Y-%m-%d}T{hour}+01:00"),
    )


def _both(now: str, *lines: str) -> Iterator[Step]:
    """As screens and as documents."""
    for line in lines:
        yield Line(line, now)
        yield Line(f"{line} --json", now)


def _screens(now: str, *lines: str) -> Iterator[Step]:
    for line in lines:
        yield Line(line, now)


def steps() -> Iterator[Step]:
    """The story, in its order."""
    for path, text in PROJECT.items():
        yield File(path, text)
    people = "name,country\nAda,GB\nGrace,US\nLinus,FI\n"
    yield File("landing/customers.csv", people, datetime.fromisoformat("2025-03-01T00:00+01:00"))
    yield from _first_days()
    yield from _a_renamed_column()
    yield from _rejected_then_reported()
    yield from _a_missing_file()
    yield from _a_changed_project()
    yield from _operated()


def _first_days() -> Iterator[Step]:
    before, after = "2025-03-04T05:30+01:00", "2025-03-04T06:30+01:00"
    yield from _both(
        before, "validate", "test", "plan", "status", "doctor", "why revenue@2025-03-03"
    )
    yield Line("render revenue", before)
    for day in ("2025-03-01", "2025-03-02", "2025-03-03"):
        yield _landing(day, orders(day))
    yield Line("tick --json", before)
    yield from _both(
        after,
        *LOOKS,
        "ls",
        "runs",
        "deliveries orders",
        "checks",
        "why revenue@2025-03-03",
        "lineage revenue",
        "export dbt-manifest",
        "docs build",
        "versions",
        "connections test",
        "notify",
        "read revenue@2025-03-02",
        "schema",
        "backfills",
        "quarantine",
    )
    yield Line("logs page@2025-03-03", after)
    yield Line("read revenue --format csv", after)
    yield Line(
        "sql 'select country, sum(revenue) as revenue from revenue group by all order by all'",
        after,
    )


def _a_renamed_column() -> Iterator[Step]:
    held, fixed, after = (
        "2025-03-05T06:30+01:00",
        "2025-03-05T09:30+01:00",
        "2025-03-06T04:30+01:00",
    )
    yield _landing("2025-03-04", orders("2025-03-04", header=RENAMED))
    yield Line("tick", held)
    yield from _both(
        held,
        *LOOKS,
        "incident INC-1",
        "why orders@2025-03-04",
        "quarantine",
        "quarantine orders@2025-03-04",
    )
    yield from _both(fixed, "fix INC-1 --dry-run", "contract diff orders")
    yield Line("fix INC-1", fixed)
    yield Line("fix INC-1 --yes --json", fixed)
    yield from _screens(fixed, *LOOKS, "incident INC-1")
    yield from _both(fixed, "backfills 1")
    yield Line("contract show orders", fixed)
    yield Line("tick", after)


def _rejected_then_reported() -> Iterator[Step]:
    bad, mended, again = (
        "2025-03-06T06:30+01:00",
        "2025-03-06T09:30+01:00",
        "2025-03-06T10:30+01:00",
    )
    yield _landing("2025-03-05", orders("2025-03-05", "3,Linus,7.20,2025-03-05", header=RENAMED))
    yield Line("tick", bad)
    yield from _screens(bad, *LOOKS, "incident INC-2", "why orders_clean@2025-03-05", "runs")
    yield _landing("2025-03-05", orders("2025-03-05", header=RENAMED), "09:00")
    yield Line("tick", mended)
    yield from _screens(mended, *LOOKS, "incidents --all", "incident INC-3")
    yield from _both(mended, "diff orders@2025-03-05")
    yield Line("incidents report revenue --from 2025-03-03 --reason 'the euro was a pound'", mended)
    yield Line("incidents note INC-4 --reason 'finance was told' --json", mended)
    yield from _both(mended, *LOOKS, "incident INC-4")
    yield Line("fix INC-4 --yes", mended)
    yield Line("unpublish revenue@2025-03-03 --reason 'the euro was a pound'", again)
    yield from _screens(again, *LOOKS, "why revenue@2025-03-03")
    yield Line("run revenue --partition 2025-03-03 --again --reason 'it was right'", again)
    yield Line("quarantine accept revenue@2025-03-03 --reason 'it was right'", again)
    yield from _screens(again, *LOOKS)


def _a_missing_file() -> Iterator[Step]:
    late, missing, after = (
        "2025-03-07T05:30+01:00",
        "2025-03-07T08:30+01:00",
        "2025-03-07T10:30+01:00",
    )
    yield Line("tick", late)
    yield from _screens(late, *LOOKS)
    yield Line("tick", missing)
    yield from _both(missing, *LOOKS, "why orders@2025-03-06")
    yield Line("waive morning-report@2025-03-06 --reason 'a holiday'", missing)
    yield Line("pause page --reason 'the printer is broken'", missing)
    yield from _both(missing, "pause")
    yield File("handed.csv", orders("2025-03-06", header=RENAMED))
    yield Line("receive orders handed.csv --for 2025-03-06 --reason 'came by mail'", after)
    yield from _screens(after, *LOOKS, "why page@2025-03-06")
    yield Line("resume page", after)
    yield Line("tick", after)


def _a_changed_project() -> Iterator[Step]:
    now = "2025-03-07T11:30+01:00"
    yield File("assets/revenue.sql", TWICE)
    yield from _both(now, "plan", "try revenue")
    yield Line("apply", now)
    yield Line("apply --yes --json", now)
    yield from _both(now, "backfill revenue --from 2025-03-01 --to 2025-03-06 --dry-run")
    yield Line("backfill revenue --from 2025-03-01 --to 2025-03-06 --yes --reason 'twice'", now)
    yield from _screens(now, *LOOKS, "backfills", "backfills 2", "diff revenue", "versions")
    yield Line("exports take-over ledger-book --reason moved", now)
    yield File("assets/revenue.sql", TWICE.replace("from orders_clean", "from orders_cleaned"))
    yield from _both(now, "validate", "apply")
    yield File("assets/revenue.sql", TWICE)
    for line in (
        "run nosuch",
        "run nosuch --json",
        "status --no-such-option",
        "frob",
        "explain no_such_code",
        "cancel 999",
    ):
        yield Line(line, now)


def _operated() -> Iterator[Step]:
    now = "2025-03-08T11:30+01:00"
    yield Line("checks challenge revenue --json", now)
    yield Line("checks suggest revenue", now)
    yield from _both(now, "classify --suggest")
    yield from _screens(now, "badge nobody", "badge report --days 0")
    # what took how long differs from one machine to the next, and so does the order by it
    yield from _screens(now, "bottleneck nobody", "complexity", "complexity prune nothing")
    yield from _screens(now, "costs --by nothing")
    yield from _screens(now, "what-if --set wrokers=4", "what-if --set workers=0")
    yield from _both(now, "optimize revenue", "ab")
    yield from _screens(now, "ab revenue", "ab revenue --setting colour=red")
    yield from _both(now, "approvals", "approve 99 --reason x", "reject 99 --reason x")
    yield Line("token create ci --scope operator:owner=core --json", now)
    yield from _both(
        now, "token list", "keys status", "access whoami", "access explain token:ci run revenue"
    )
    yield from _both(now, "access explain token:ci apply")
    yield from _both(now, "freeze token:ci --reason stuck", "unfreeze token:ci --reason mended")
    yield from _both(now, "token revoke ci")
    yield from _both(now, "session list")
    yield Line("session end session-1", now)
    yield from _both(now, "user list", "user remove ana")
    yield from _both(now, "audit show", "audit verify", "db check --deep", "retry revenue")
    yield from _screens(now, "hold", "erase x --where \"order_id = 'a1'\" --dry-run")
    yield from _both(now, "hold orders --reason 'case 12'", "erase x --where 'nosuch = 1' --yes")
    yield Line("erase x --where 'nosuch like 1' --yes --reason x", now)
    yield from _screens(now, "hold release orders --reason closed", "hold")
    yield from _both(now, "init ../other", "init ../other/again")
    yield File("../shop/dbt_project.yml", "name: shop\n")
    yield File("../shop/seeds/raw_orders.csv", "id,amount\n1,10\n")
    yield File("../shop/models/orders.sql", ORDERS_MODEL)
    yield File("../shop/models/nowhere.sql", "select id from {{ ref('nothing') }}\n")
    yield Line("import dbt ../shop --into ../moved", now)
    yield Line("import dbt ../shop --into ../moved --json", now)
    yield Line("import dbt ../shop --into ../moved --check", now)
    yield Line("import suggestion --into ../moved", now)
    yield Line("import suggestion pass_through-1 --into ../moved", now)
    yield Line("import suggestion pass_through --into ../moved --apply", now)
    yield Line("import suggestion pass_through --into ../moved --json", now)
    yield Line("import rollback pass_through-1 --into ../moved", now)
    yield from _both(now, "import status --into ../moved")
    yield Line("db backup backup", now)
    yield Line("db gc --dry-run", now)
