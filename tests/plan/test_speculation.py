"""Outputs that are determined before the order is known are those that the order gives."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from projects import same, source, sql, write

from headrace.compiler.cache import Cache, KeptBodies
from headrace.compiler.compiling import compile_project
from headrace.compiler.lineage import compile_lineage
from headrace.compiler.speculation import HELD_MAX
from headrace.sql.parsing import parse

MISLEADING = "-- from a{later} join a{later}\n"
"""What makes the estimated order wrong, and circular."""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("processes", [1, 2])
def test_early_outputs_are_those_of_the_final_order(
    tmp_path: Path, seed: int, processes: int
) -> None:
    """An output of the wrong columns would be cached as if it were right."""
    print(f"seed {seed}")
    root, cache = _project(tmp_path, random.Random(seed), 400), tmp_path / "cache"
    early = compile_project(root, cache=cache, processes=processes)
    lineage = compile_lineage(early.compiled, cache) if early.compiled else None
    _forget_outputs(cache)
    final = compile_project(root, cache=cache)
    assert same(early, final)
    if early.compiled is not None and final.compiled is not None:
        assert lineage is not None
        again = compile_lineage(final.compiled, cache)
        assert [lineage.of(name) for name in early.compiled.order] == [
            again.of(name) for name in final.compiled.order
        ]


def _forget_outputs(cache: Path) -> None:
    """Leave only the analyses by text, so that every output is determined in the final order."""
    bodies = Cache(cache).load(KeptBodies)
    assert bodies is not None
    by_text = {
        name: msgspec.structs.replace(body, wanted=b"", given=None)
        for name, body in bodies.bodies.items()
    }
    Cache(cache).keep(msgspec.structs.replace(bodies, bodies=by_text))
    (cache / "stamp.msgpack").unlink()


def _project(root: Path, rng: random.Random, assets: int) -> Path:
    files = {
        "sources/s.yaml": source("s", "*"),
        "sources/d.yaml": source("d"),
        "assets/a0.sql": sql("select k, v from s"),
    }
    for n in range(1, assets):
        near, any_ = rng.randrange(max(0, n - 30), n), rng.randrange(n)
        misleading = MISLEADING.format(later=rng.randrange(assets)) if rng.random() < 0.2 else ""
        body = rng.choice(
            [
                f"select k, v + {n} as v from a{near}",
                f"select x.k, y.v from a{near} as x join a{any_} as y using (k)",
                f"select x.k, x.v from a{near} as x, a{any_} as y where x.k = y.k",
                f"with w as (select * from a{near}) select k, max(v) as v from w group by k",
                f"select * from a{near} where v > (select min(v) from a{any_})",
                "select day, k, count(*) as v from d group by day, k",
            ]
        )
        front = {"partition": "{by: day, column: day}"} if " from d " in body else {}
        files[f"assets/a{n}.sql"] = sql(misleading + body, **front)
    for n in range(HELD_MAX + 50):  # a chain against the order of names, which no FROM shows
        body = f"select t.k, t.v from s, c{n + 1:03} as t where s.k = t.k"
        files[f"assets/c{n:03}.sql"] = sql(body)
    files[f"assets/c{HELD_MAX + 50:03}.sql"] = sql("select k, v from s")
    return write(root, files)


def test_each_statement_is_parsed_once(tmp_path: Path) -> None:
    """Parsing is the largest part of a cold start."""
    files = {"sources/s.yaml": source("s", "*"), "assets/b0_0.sql": sql("select k, v from s")}
    for layer in range(1, 12):
        for n in range(40):
            parents = f"b{layer - 1}_{n % 40 if layer > 1 else 0}"
            files[f"assets/b{layer}_{n}.sql"] = sql(f"select k, v + {n} as v from {parents}")
    root = write(tmp_path, files)
    before = parse.cache_info().misses
    assert compile_project(root).compiled is not None
    assert parse.cache_info().misses - before == len(files) - 1
