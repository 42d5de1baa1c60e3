"""How long an editor waits for the problems of a keystroke, and for other answers.

    python packages/headrace-lsp/tests/measure_typing.py [ASSETS]

A project of ASSETS assets (by default 1,000) is written, and `headrace lsp` is started in it as an
editor does. Times are those that the editor sees, in ms.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from editor import editing

KEYSTROKES, WIDTH = 60, 100
COLUMNS = {"id": "BIGINT", "day": "DATE", "amount": "DOUBLE", "kind": "VARCHAR"}
CONTRACT = """\
apiVersion: v3.0.2
kind: DataContract
id: {name}
name: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
{columns}
"""
QUERY = """\
/* headrace
owner: team
partition: {{by: day, column: day}}
checks:
  - not_null: [id, day]
*/
select x.id, x.day, x.amount + coalesce(y.amount, 0) as amount, upper(x.kind) as kind
from {one} x
left join {other} y on y.id = x.id
where x.day >= $partition_start and x.day < $partition_end
"""


def project(root: Path, assets: int) -> Path:
    """Write a project of layers of WIDTH assets, each of which reads two of the layer below."""
    files = {
        "headrace.toml": '[project]\nname = "large"\n',
        "owners.yaml": "team: {kind: team, contact: ['mailto:team@example.com']}\n",
    }
    columns = "\n".join(
        f"      - {{name: {name}, logicalType: string, physicalType: {type_}}}"
        for name, type_ in COLUMNS.items()
    )
    for n in range(WIDTH):
        files[f"sources/s{n}.yaml"] = (
            f"source: s{n}\nowner: team\npartition: day\nfiles: s{n}_{{date:%Y-%m-%d}}.csv\n"
        )
        files[f"contracts/s{n}.odcs.yaml"] = CONTRACT.format(name=f"s{n}", columns=columns)
    names = [f"s{n}" for n in range(WIDTH)]
    for n in range(assets):
        one, other = names[n], names[n - n % WIDTH + (n + 1) % WIDTH]
        files[f"assets/a{n}.sql"] = QUERY.format(one=one, other=other)
        names.append(f"a{n}")
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def main(assets: int) -> None:
    """Print the environment and the times."""
    print(
        f"{assets:,} assets; Python {platform.python_version()}, {platform.system()}"
        f" {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder).resolve(), assets)
        with editing(root) as editor:
            path, begun = f"assets/a{assets // 2}.sql", time.perf_counter()
            editor.open(path)
            editor.problems(path)
            print(f"first problems: {_since(begun):,.0f} (with an empty cache)")
            times = []
            for n in range(KEYSTROKES):
                begun = time.perf_counter()
                if n % 5:
                    editor.type(path, "x.kind", "x.kindz")
                else:
                    editor.write(path, (root / path).read_text())
                editor.problems(path)
                times.append(_since(begun))
            middle, high = statistics.median(times), sorted(times)[int(KEYSTROKES * 0.95)]
            print(f"problems of a keystroke: median {middle:.0f}, p95 {high:.0f}")
            for what, ask in (
                ("hover of a table", lambda: editor.hover(path, "from a|")),
                ("hover of a column", lambda: editor.hover(path, "x.amo|unt +")),
                ("completion", lambda: editor.completions(path, "y.id = x.|id")),
                ("references", lambda: editor.references(path, "from a|")),
            ):
                times = []
                for _ in range(10):
                    begun = time.perf_counter()
                    ask()
                    times.append(_since(begun))
                print(f"{what}: first {times[0]:.0f}, median {statistics.median(times):.0f}")


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1_000


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
