"""`erase` finds what isn't declared any more: removed assets, exports and sources, and columns that
had another name in older snapshots (issue 47, A.1)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_erase import traces
from warm_fork_servers import headrace

KEY, EMAIL = "C-77310", "canary.ada@example.com"
DAYS = ("2026-03-02", "2026-03-03")
CODE = "/* headrace\nowner: finance\npartition: {by: day, column: day}\n*/\n"
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "tills: {kind: vendor}\nfinance: {kind: team}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: tills\npartition: day\nfiles: landing/orders_{date:%Y-%m-%d}.csv\n"
    ),
    "sources/odd.yaml": (
        "source: odd\nowner: tills\npartition: day\nfiles: landing/odd_{date:%Y-%m-%d}.json\n"
    ),
    "assets/clean.sql": (
        f"{CODE}select cast(day as date) as day, customer as client, email from orders\n"
    ),
    "assets/copy.sql": f"{CODE}select day, client as buyer, email from clean\n",
    "assets/latest.sql": (
        "/* headrace\nowner: finance\nmaterialize: snapshot\nsnapshot: {keys: [client]}\n*/\n"
        "select client, max(email) as email from clean group by client\n"
    ),
    "assets/failing.sql": f"{CODE}select day, cast(client as integer) as client from clean\n",
    "consumers.yaml": (
        "- {consumer: report, owner: finance, reads: [clean], max_age: 1d,"
        ' export: {to: "out/clean_{date:%Y-%m-%d}.csv"}}\n'
    ),
    "sources/held.yaml": (
        "source: held\nowner: tills\npartition: day\nfiles: landing/held_{date:%Y-%m-%d}.csv\n"
    ),
    "contracts/held.odcs.yaml": (
        "apiVersion: v3.1.0\nkind: DataContract\nid: held\nversion: 1.0.0\nstatus: active\n"
        "schema:\n  - name: held\n    properties:\n"
        "      - {name: pieces, logicalType: integer}\n"
        "      - {name: customer, logicalType: string}\n"
    ),
    f"landing/held_{DAYS[0]}.csv": f"pieces,customer\nmany,{KEY}\n2,C-2\n",
    f"landing/odd_{DAYS[0]}.json": f'{{"customer": "{KEY}", broken',
    **{
        f"landing/orders_{day}.csv": (
            f"customer,email,day\n{KEY},{EMAIL},{day}\nC-2,bob@example.com,{day}\n"
        )
        for day in DAYS
    },
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def command(root: Path, *arguments: str) -> Any:
    return headrace([*arguments, "--project", str(root)], root, os.environ, 300, "")


def test_what_is_declared_no_more_is_erased_or_named(
    tmp_path: Path, warm_fork_servers: None
) -> None:
    """Would catch: a person in files, statistics, exports and the next backup of an asset or a
    consumer that is removed, in a column under its earlier name, in what the core wrote down of a
    failed cast, and in a delivery that nobody could read and the certificate doesn't name; bytes
    of a held delivery that are erased, and that `db check` then calls damaged."""
    root = tmp_path / "p"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path in (root / "landing").iterdir():
        os.utime(path, (1_772_800_000,) * 2)
    command(root, "tick")
    exported = sorted((root / "out").iterdir())
    assert [EMAIL in path.read_text() for path in exported] == [True, True]
    for path in ("assets/copy.sql", "assets/latest.sql", "assets/failing.sql", "consumers.yaml"):
        (root / path).unlink()
    clean = root / "assets/clean.sql"
    clean.write_text(clean.read_text().replace("as client", "as person"))
    assert command(root, "apply", "--yes").returncode == 0
    assert traces(root / ".headrace")
    done = command(
        root, "erase", "request-1", "--where",
        f"orders.customer = '{KEY}' or held.customer = '{KEY}'",
        "--yes", "--reason", "asked", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    places = json.loads(done.stdout)["places"]
    erased = {(place["node"], place["what"]) for place in places if place["action"] == "erased"}
    assert {(name, "rows") for name in ("orders", "clean", "copy", "latest")} <= erased
    assert ("held", "raw") in erased
    assert "report" in {place["node"] for place in places if place["what"] == "export"}
    named = {
        place["why"].partition(" has a value")[0] for place in places if place["what"] == "file"
    }
    shutil.rmtree(root / "landing")
    assert {str(root / path) for path in traces(root)} == named
    assert [Path(path).parent.parent.name for path in named if "/raw/" in path] == ["raw"]
    check = json.loads(command(root, "db", "check", "--deep", "--json").stdout)
    assert check["ok"], check
    assert json.loads(command(root, "audit", "verify", "--json").stdout)["ok"]
    assert [row["email"] for row in rows(root, "clean")] == ["bob@example.com"] * 2
    (root / "assets/copy.sql").write_text(
        FILES["assets/copy.sql"].replace("client as", "person as")
    )
    assert command(root, "apply", "--yes").returncode == 0
    assert {row["buyer"] for row in rows(root, "copy")} == {"C-2"}
    unread = command(
        root, "erase", "request-2", "--where", f"odd.customer = '{KEY}'", "--dry-run", "--json"
    )
    assert [place["what"] for place in json.loads(unread.stdout)["places"]][:1] == ["raw"]


def rows(root: Path, asset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command(root, "read", asset, "--json").stdout)["rows"]
    return found


def test_a_name_that_means_something_else_by_now_is_said(
    tmp_path: Path, warm_fork_servers: None
) -> None:
    """Would catch: rows of others that are erased because a column that has their keys now had the
    subject's before."""
    root = tmp_path / "p"
    files = {path: text for path, text in FILES.items() if "clean" in path or "orders" in path}
    for path, text in {**files, "headrace.toml": FILES["headrace.toml"], "owners.yaml": FILES["owners.yaml"]}.items():  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path in (root / "landing").iterdir():
        os.utime(path, (1_772_800_000,) * 2)
    assert command(root, "tick").returncode == 0
    clean = root / "assets/clean.sql"
    text = clean.read_text().replace("customer as client", f"'{KEY}' || '' as client, customer")
    clean.write_text(text)
    assert command(root, "apply", "--yes").returncode == 0
    ran = command(root, "run", "clean", "--partition", DAYS[0], "--again", "--reason", "x")
    assert ran.returncode == 0, ran.stderr
    done = command(
        root, "erase", "request-1", "--where", f"orders.customer = '{KEY}'", "--yes",
        "--reason", "asked", "--json",
    )  # fmt: skip
    kept = [place for place in json.loads(done.stdout)["places"] if place["node"] == "clean"]
    assert any("client" in place["why"] and place["action"] == "kept" for place in kept), kept
    new = json.loads(command(root, "read", "clean", "--partition", DAYS[0], "--json").stdout)
    assert [row["email"] for row in new["rows"]] == ["bob@example.com"]
