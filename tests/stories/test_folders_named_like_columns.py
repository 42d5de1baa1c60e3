"""A project below a folder that DuckDB would take for a partition's column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from clilab import Project

NOW = "2025-03-06T08:00+01:00"
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team, contact: ['mailto:core@example.com']}\n",
    "sources/orders.yaml": "source: orders\nowner: core\npartition: '*'\nfiles: orders.parquet\n",
    "sources/refunds.yaml": "source: refunds\nowner: core\npartition: '*'\nfiles: refunds.csv\n",
    "refunds.csv": "id,env\n1,eu\n",
    "assets/paid.sql": (
        "/* headrace\nowner: core\nchecks: [{unique: [id, env]}]\n*/\n"
        "select id, env from orders where id not in (select id from refunds)\n"
    ),
    "assets/pages.py": (
        "from headrace import asset\n\n"
        "@asset(owner='core', inputs=['orders'])\n"
        "def pages(orders):\n"
        "    for number in range(3):\n"
        "        yield {'id': number, 'env': 'eu'}\n"
    ),
    "assets/written.yaml": ("asset: written\nowner: core\ncommand: [python3, write.py]\n"),
    "write.py": (
        "import json, os\n"
        "folder = json.load(open(os.environ['HEADRACE_CONTEXT']))['output_directory']\n"
        "open(folder + '/rows.csv', 'w').write('id,env\\n1,eu\\n')\n"
    ),
}


def test_no_row_takes_the_value_of_a_folders_name(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Would catch: a column `env` whose value in each row becomes that of the folder `env=prod`,
    in what is delivered, computed, audited or read."""
    root = tmp_path / "env=prod" / "shop"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    duckdb.sql("select range as id, 'eu' as env from range(200000)").write_parquet(
        str(root / "orders.parquet")
    )
    project = Project(root, call)
    project.json("run", "--now", NOW)
    for name in ("orders", "refunds", "paid", "pages", "written"):
        rows = project.json("sql", f"select distinct env from {name}")["rows"]
        assert rows == [{"env": "eu"}], name
