"""A shop with checks of all kinds, some of which can't fail: five days, published."""

from __future__ import annotations

from typing import Any

import pytest
from clilab import FILES

from headrace.cli.main import run

CHECKED = """/* headrace
owner: core
partition: {by: day, column: day}
checks:
  - unique: [id]
  - not_null: [customer]            # who bought
  - sql: {name: nobody, query: "select * from $self where customer is null"}
  - sql: {name: never, query: "select * from $self where 1 = 0"}
  - range: {column: amount, min: 0, where: is_large(amount), name: large}
  - row_count: {min: 1}
# the end
*/
select id, customer, cast(amount as decimal(18,2)) as amount, cast(day as date) as day from orders
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Five days of forty orders, published once for all tests."""
    root = tmp_path_factory.mktemp("checked") / "shop"
    texts = FILES | {
        "assets/orders_clean.sql": CHECKED,
        "assets/large.sql": (
            "/* headrace\nowner: core\nmaterialize: view\nchecks: [{not_null: [id]}, {sql: {name:"
            " huge, query: 'select * from $self where is_large(amount * 0)'}}]\n*/\nselect id,"
            " amount from orders_clean"
        ),
        "macros/large.sql": "create macro is_large(x) as x > 1000;\n",
    }
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "assets/fails.py").unlink()
    (root / "landing").mkdir()
    for day in range(1, 6):
        rows = "".join(
            f"{number},{'Ada' if number % 3 else 'Grace'},{number * 7 % 90 + 1}.50,2025-03-0{day}\n"
            for number in range(40)
        )
        (root / f"landing/orders_2025-03-0{day}.csv").write_text("id,customer,amount,day\n" + rows)
    assert run(["tick", "--now", "2025-03-06T06:00+01:00", "--project", str(root)]) == 0
    return root
