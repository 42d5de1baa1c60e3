"""A project of one source, an asset in SQL and one in Python, as files."""

from __future__ import annotations

SHOP = {
    "headrace.toml": (
        '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n[parameters]\nleast = 10\n'
    ),
    "owners.yaml": "core: {kind: team}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: core\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    ),
    "assets/revenue.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\nselect cast(day as date)"
        " as day, sum(cast(amount as decimal(18, 2))) as revenue from orders group by 1\n"
    ),
    "assets/top.py": (
        "from headrace import asset, Context\n\n@asset(owner='core', partition='day',"
        " inputs=['revenue'], columns={'day': 'DATE', 'n': 'BIGINT'})\ndef top(ctx: Context,"
        " revenue):\n    print('at', ctx.partition)\n    if not revenue.num_rows:\n        raise"
        " ValueError('nothing sold')\n    return revenue.select(['day']).append_column('n',"
        " [[ctx.parameters['least']] * revenue.num_rows])\n"
    ),
}
