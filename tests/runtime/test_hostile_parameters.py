"""B1 Parameters and reasons are data: no SQL, shell, template or format string comes out of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runlab import Lab

SETTINGS = (
    '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 1\n[parameters]\nhostile = {}\n'
)


def hostile(mark: Path) -> list[str]:
    return [
        f'"; touch {mark} #',
        f"$(touch {mark})",
        f"`touch {mark}`",
        f"\ntouch {mark}\n",
        "'); drop table orders; --",
        "' OR 1=1 --",
        "{{ ''.__class__.__mro__ }}",
        "{0.__class__.__init__.__globals__}",
        "%(x)s %s %n",
        "${HOME} $day {date:%Y}",
        "\u202e\u2028\x7f",
    ]


@pytest.mark.long
@pytest.mark.parametrize("number", range(11))
def test_b1_a_parameter_is_a_value_in_sql_and_python(lab: Lab, tmp_path: Path, number: int) -> None:
    """B1. Would catch: a parameter that ends its literal, or that a shell or a template reads."""
    mark = tmp_path / "mark"
    text = hostile(mark)[number]
    lab.write("headrace.toml", SETTINGS.format(json.dumps(text)))
    lab.sql("asked", "select $hostile as h, day from orders where customer <> $hostile limit 1")
    lab.python(
        "told",
        "def told(ctx: Context, asked):\n"
        "    import pyarrow as pa\n"
        "    return pa.table({'h': [ctx.parameters['hostile']], 'day': [ctx.partition]})",
        partition="day",
        inputs=["asked"],
    )
    lab.orders("2025-01-08")
    assert lab.tick().state == "succeeded"
    assert lab.run("told", again=True, reason=text).state == "succeeded"
    assert [row["h"] for row in lab.read("asked")] == [text]
    assert [row["h"] for row in lab.read("told")] == [text]
    assert not mark.exists()
