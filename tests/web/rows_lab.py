"""A project whose rows have canaries in columns that nobody classified, with what goes wrong in them:
a renamed category, a failed check, a value that doesn't convert, a renamed column."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from leaks_lab import NAMED, canaries
from serve_lab import headrace, response

NOW = "2025-03-13T08:00+01:00"
DAYS = tuple(f"2025-03-{day:02d}" for day in range(1, 13))
OTHER_CATEGORY, OTHER_TYPE, OTHER_COLUMN = DAYS[-3:]
SEES_ONLY = ("operator", "auditor")
"""Roles that see nodes and read no rows."""
TABLES = ("sales", "cleaned", "totals")
NODES = (*TABLES, "report")
FILES = {
    "headrace.toml": (
        '[project]\nname = "shops"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n'
        '[openlineage]\nfile = "lineage/events.jsonl"\n'
    ),
    "owners.yaml": "core: {kind: team, contact: ['file:messages']}\n",
    "sources/sales.yaml": (
        "source: sales\nowner: core\npartition: day\nfiles: landing/sales_{date:%Y-%m-%d}.csv\n"
        "restate_within: 30d\n"
    ),
    "contracts/sales.odcs.yaml": (
        "apiVersion: v3.1.0\nkind: DataContract\nid: sales\nversion: 1.0.0\nstatus: active\n"
        "schema:\n  - name: sales\n    properties:\n"
        "      - {name: id, logicalType: integer}\n"
        "      - {name: branch, logicalType: string}\n"
        "      - {name: amount, logicalType: integer}\n"
        "      - {name: day, logicalType: date}\n"
    ),
    "assets/cleaned.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\nchecks:\n"
        "  - accepted_values: {column: branch, values: [Oslo]}\n    severity: warning\n"
        "*/\nselect id, branch, amount, cast(day as date) as day from sales\n"
    ),
    "assets/totals.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select day, branch, sum(amount) as amount from cleaned group by all\n"
    ),
    "consumers.yaml": "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n",
}


AT = tuple(f"{node}@{day}" for node in TABLES for day in (OTHER_CATEGORY, OTHER_TYPE, OTHER_COLUMN))
INCIDENTS = tuple(f"INC-{number}" for number in range(1, 5))
NAMED_HERE = {
    **NAMED,
    "name": NODES,
    "node": TABLES,
    "source": ("sales",),
    "subject:path": ("report", *AT),
    "target:path": ("report", *AT),
    "column:path": ("sales.branch", "cleaned.branch"),
    "run": ("1",),
    "incident": INCIDENTS,
}
"""Names that the endpoints take."""
LINES = (
    "status", "incidents", "checks", "checks cleaned", "contract show sales", "contract diff sales",
    "deliveries sales", "ls --partitions", "runs", "runs 1", "plan", "notify", "audit --limit 1000",
    "doctor", "quarantine", "validate", *(f"why {at}" for at in AT),
    *(f"incident {number}" for number in INCIDENTS),
    *(f"fix {number} --dry-run" for number in INCIDENTS),
)  # fmt: skip
"""Commands that speak of what went wrong."""


def played(root: Path) -> dict[str, str]:
    """Let everything happen, and return tokens of these roles, and of one that reads rows."""
    values = canaries(5, random.randrange(2**32))
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "landing").mkdir()
    for day in DAYS:
        path = root / f"landing/sales_{day}.csv"
        path.write_text(_rows(day, values))
        os.utime(path, (time.time() - 3600,) * 2)
    headrace(root, "tick", "--now", NOW, code=0)
    who = response(root, "access", "whoami")["who"]
    (root / "access.yaml").write_text(f"- {{role: admin, to: [{who}]}}\n")
    headrace(root, "apply", "--yes", "--now", NOW)
    return {
        role: str(response(root, "token", "create", role, "--scope", role)["token"])
        for role in (*SEES_ONLY, "viewer")
    }


def _rows(day: str, values: list[str]) -> str:
    branches = values[:3]
    if day == OTHER_CATEGORY:
        branches = [*values[:2], values[3]]
    rows = [f"{n},{branches[n % 3]},{n % 7},{day}" for n in range(300)]
    if day == OTHER_TYPE:
        rows[-1] = f"299,{values[0]},{values[4]},{day}"
    head = "id,shop,amount,day" if day == OTHER_COLUMN else "id,branch,amount,day"
    return "\n".join([head, *rows, ""])
