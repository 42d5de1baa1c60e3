"""A small project whose store is filled by real ticks: three good days, a day that a check rejects,
a day with another header.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace.cli.main import run

FILES = {
    "headrace.toml": (
        '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers ='
        " 1\n[parameters]\nthreshold = 15\n"
    ),
    "owners.yaml": (
        "core: {kind: team, contact: ['mailto:core@example.com']}\nacme: {kind: vendor, contact:"
        " ['mailto:a@example.com']}\n"
    ),
    "sources/orders.yaml": (
        "source: orders\nowner: acme\npartition: day\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\nexpect: {by: '05:00'}\n"
    ),
    "assets/orders_clean.sql": (
        "/* headrace\nowner: core\ntags: [daily]\npartition: {by: day, column: day}\nchecks:\n  -"
        " unique: [id]\n*/\nselect id, customer, cast(amount as decimal(18,2)) as amount, cast(day"
        " as date) as day from orders\n"
    ),
    "assets/revenue.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select day, sum(amount) as revenue, count(*) as orders from orders_clean group by day\n"
    ),
    "assets/page.py": (
        "import sys\nfrom headrace import asset, Context\nimport pyarrow as pa\n\n"
        "@asset(owner='core', partition='day', inputs=['revenue'], materialize='files')\n"
        "def page(ctx: Context, revenue):\n"
        "    print('writing the page of', ctx.partition)\n"
        "    print('careful \\x1b[31m[bold]', file=sys.stderr)\n"
        "    (ctx.output_directory / 'page.html').write_text(str(revenue.num_rows))\n"
    ),
    "assets/fails.py": (
        "from headrace import asset, Context\n\n"
        "@asset(owner='core', partition='day', inputs=['revenue'])\n"
        "def fails(ctx: Context, revenue):\n"
        "    print('about to fail')\n"
        "    raise ValueError('no such thing as ' + ctx.partition)\n"
    ),
    "consumers.yaml": (
        "- {consumer: morning-report, owner: core, reads: [revenue, page], due: '07:00'}\n"
        "- {consumer: dashboard, owner: core, reads: [orders_clean], max_age: 30h}\n"
    ),
}
GOOD = "1,Ada,19.90,{0}\n2,Grace,5.00,{0}\n3,Linus,7.10,{0}\n"
NOW = "2025-03-06T08:00+01:00"


class Project(NamedTuple):
    """A project's folder, and what its commands answer."""

    root: Path
    call: Callable[..., Any]

    def json(self, *arguments: str) -> Any:
        """The document on standard output, which holds nothing else."""
        code, out, err = self.call(self.root, *arguments, "--json")
        assert code in (0, 1) and out, err
        return json.loads(out)

    def text(self, *arguments: str, code: int = 0) -> str:
        """What a person sees."""
        result, out, err = self.call(self.root, *arguments)
        assert result == code, err
        return str(out)

    def refused(self, *arguments: str, code: int = 2) -> str:
        """The error that a person sees; standard output stays empty."""
        result, out, err = self.call(self.root, *arguments)
        assert result == code, (result, err)
        assert out == ""
        assert err.startswith("error: ")
        return str(err)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Filled once; `shop` gives each test a copy."""
    root = tmp_path_factory.mktemp("filled") / "shop"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    landing = root / "landing"
    landing.mkdir()
    for day in ("2025-03-01", "2025-03-02", "2025-03-03"):
        (landing / f"orders_{day}.csv").write_text("id,customer,amount,day\n" + GOOD.format(day))
    assert run(["tick", "--now", "2025-03-04T06:00+01:00", "--project", str(root)]) == 0
    (landing / "orders_2025-03-04.csv").write_text(
        "id,customer,amount,day\n" + GOOD.format("2025-03-04") + "3,Linus,7.10,2025-03-04\n"
    )
    (landing / "orders_2025-03-05.csv").write_text(
        "id,customer,total,day\n" + GOOD.format("2025-03-05")
    )
    assert run(["tick", "--now", NOW, "--project", str(root)]) == 0
    return root


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a line in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(root: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(root)
        capsys.readouterr()
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def shop(filled: Path, tmp_path: Path, call: Callable[..., Any]) -> Project:
    """A copy of the filled project."""
    return copied(filled, tmp_path / "shop", call)


def copied(project: Path, root: Path, call: Callable[..., Any]) -> Project:
    """Return a copy of a project, whose catalog says where the copy is."""
    shutil.copytree(project, root, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    with closing(sqlite3.connect(root / ".headrace/state.db")) as state, state:
        state.execute(
            "update ducklake_metadata set value = ? where key = 'data_path'",
            (f"{root}/.headrace/lake/",),
        )
    return Project(root, call)


@pytest.fixture
def new(tmp_path: Path, call: Callable[..., Any]) -> Project:
    """The same project before anything ran."""
    root = tmp_path / "new"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Project(root, call)
