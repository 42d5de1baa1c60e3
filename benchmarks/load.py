"""How long a large project takes to be understood: 1,000 and 10,000 SQL assets, cold, unchanged,
after one edit, and one column's lineage through all.

Wall time of the whole command, the median of its runs; the memory is the highest of a cold run, of
all its processes together. Beside it the same
graph as a dbt project (`dbt parse`, which doesn't look into the SQL) and as an SQLMesh project
(loading it, and column lineage through its own functions), each in an environment of its own that
is made once. A peer that isn't done after the limit is stopped; its name then says so and its
figure is the limit. Not asked of: dbt-core has no column lineage.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Figure, main
from benchmarks.headrace_cli import COMMAND
from benchmarks.watching import watch

SIZES = (1_000, 10_000)
SIZE_QUICK = 120
LAYERS = 12
PARENTS = 3
RUNS = 5
COLD_RUNS = 3
COLD_PEAK_MB = 200.0
PEERS = Path.home() / ".cache" / "headrace-benchmarks"
REQUIREMENTS = {
    "dbt": (["dbt-core", "dbt-duckdb"], ["dbt-core>=1.9,<1.11", "dbt-duckdb"]),
    "sqlmesh": (["sqlmesh"],),
}
"""What a peer is installed from; the second choice where the newest can't be had from a package
registry alone."""
INSTALLATION_TIMEOUT_S = 900
PEER_TIMEOUT_S = 600
GOALS_S = {
    1_000: {"cold": 3.0, "unchanged": 0.5, "one_edit": 0.7, "lineage": 1.0},
    10_000: {"cold": 2.5, "unchanged": 1.0, "one_edit": 0.5, "lineage": 5.0},
}
_NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
"""What would make every tool compile itself anew each time."""
SETTLED_S = 3.0
"""Files that were written this instant are compared by content; who validates works on files that
are older."""


@dataclass(frozen=True)
class Asset:
    """One node of the graph: `body` has a `{name}` for each parent."""

    name: str
    number: int
    parents: tuple[str, ...]
    body: str


def graph(count: int) -> list[Asset]:
    """Layers of assets, each joining three of the layer before in a CTE."""
    rng = random.Random(7)
    width = max(1, count // LAYERS)
    return [_asset(number, _parents(number, width, rng)) for number in range(count)]


def _parents(number: int, width: int, rng: random.Random) -> list[int]:
    layer = number // width
    return (
        sorted(rng.sample(range((layer - 1) * width, layer * width), min(PARENTS, width)))
        if layer
        else []
    )


def _asset(number: int, parents: list[int]) -> Asset:
    if not parents:
        body = (
            f"select r.k as k, r.k * {number} as v{number}, 'x' || r.k as label from range(10) as"
            " r(k)"
        )
        return Asset(f"a{number}", number, (), body)
    first, rest = parents[0], parents[1:]
    joins = "".join(f" join {{a{p}}} as p{p} on p{p}.k = p{first}.k" for p in rest)
    columns = ", ".join(f"p{p}.v{p}" for p in parents)
    total = " + ".join(f"p{p}.v{p}" for p in parents)
    inner = (
        f"select p{first}.k as k, {columns}, {total} as v{number}, p{first}.label as label from"
        f" {{a{first}}} as p{first}{joins}"
    )
    body = f"with j as ({inner}) select k, v{number}, label from j where v{number} >= 0"
    return Asset(f"a{number}", number, tuple(f"a{p}" for p in parents), body)


def _write(folder: Path, asset: Asset, text: str) -> None:
    path = folder / f"d{asset.number % 40}" / f"{asset.name}.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_headrace(folder: Path, assets: Iterable[Asset]) -> None:
    """The graph as a Headrace project."""
    folder.mkdir(parents=True)
    (folder / "headrace.toml").write_text(
        '[project]\nname = "generated"\ntimezone = "UTC"\n', encoding="utf-8"
    )
    owners = "".join(
        f"team{n}: {{kind: team, contact: ['mailto:team{n}@example.com']}}\n" for n in range(20)
    )
    (folder / "owners.yaml").write_text(owners, encoding="utf-8")
    for asset in assets:
        head = f"/* headrace\nowner: team{asset.number % 20}\nchecks:\n  - not_null: [k]\n*/\n"
        _write(
            folder / "assets",
            asset,
            head + asset.body.format_map({name: name for name in asset.parents}) + "\n",
        )


def write_dbt(folder: Path, assets: Iterable[Asset]) -> None:
    """The graph as a dbt project."""
    folder.mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(
        "name: generated\nversion: 1.0.0\nprofile: p\nmodel-paths: [models]\n", encoding="utf-8"
    )
    (folder / "profiles.yml").write_text(
        "p:\n  target: t\n  outputs:\n    t: {type: duckdb, path: ':memory:'}\n", encoding="utf-8"
    )
    for asset in assets:
        _write(
            folder / "models",
            asset,
            asset.body.format_map({name: f"{{{{ ref('{name}') }}}}" for name in asset.parents})
            + "\n",
        )


def write_sqlmesh(folder: Path, assets: Iterable[Asset]) -> None:
    """The graph as an SQLMesh project."""
    folder.mkdir(parents=True)
    config = (
        "gateways:\n  g:\n    connection: {type: duckdb}\ndefault_gateway: g\nmodel_defaults:"
        " {dialect: duckdb, start: 2024-01-01}\n"
    )
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    for asset in assets:
        body = asset.body.format_map({name: f"db.{name}" for name in asset.parents})
        _write(folder / "models", asset, f"MODEL (name db.{asset.name}, kind FULL);\n{body}\n")


SQLMESH_LOAD = (
    "import sys; from sqlmesh import Context; print(len(Context(paths=sys.argv[1]).models))"
)
SQLMESH_LINEAGE = """
import sys
from sqlmesh import Context
from sqlmesh.core.lineage import column_dependencies
context = Context(paths=sys.argv[1])
names = {name.replace('"', '').split('.')[-1]: name for name in context.models}
waiting, seen = [(names[sys.argv[2]], sys.argv[3])], set()
while waiting:
    model, column = waiting.pop()
    if (model, column) in seen or model not in context.models:
        continue
    seen.add((model, column))
    for parent, columns in column_dependencies(context, model, column).items():
        waiting += [(parent, one) for one in columns]
print(len(seen))
"""


@dataclass(frozen=True)
class Peer:
    """Another tool: how the graph is written for it, how it is loaded, and (where it can) asked for
    lineage.
    """

    name: str
    folder: Path
    write: Callable[[Path, list[Asset]], None]
    load: Callable[[Path], list[str]]
    lineage: Callable[[Path, str, str], list[str]] | None


def peers(folder: Path) -> list[Peer]:
    """Those that can be installed, or are."""
    result = []
    if installed(folder, "dbt"):
        dbt = str(folder / "dbt" / "bin" / "dbt")
        result.append(
            Peer(
                "dbt parse",
                folder,
                write_dbt,
                lambda path: [
                    dbt,
                    "parse",
                    "--project-dir",
                    str(path),
                    "--profiles-dir",
                    str(path),
                ],
                None,
            )
        )
    if installed(folder, "sqlmesh"):
        python = str(folder / "sqlmesh" / "bin" / "python")
        result.append(
            Peer(
                "SQLMesh",
                folder,
                write_sqlmesh,
                lambda path: [python, "-c", SQLMESH_LOAD, str(path)],
                lambda path, asset, column: [
                    python,
                    "-c",
                    SQLMESH_LINEAGE,
                    str(path),
                    asset,
                    column,
                ],
            )
        )
    return result


def installed(folder: Path, name: str) -> bool:
    """Whether the peer's environment is there, made now if it isn't. One that can't be made is left
    out, with a line.
    """
    done = folder / name / "installed"
    if done.exists():
        return True
    environment = folder / name
    print(f"installing {name} into {environment} …", file=sys.stderr)
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(environment)],
            check=True,
            capture_output=True,
            timeout=INSTALLATION_TIMEOUT_S,
        )
        for requirements in REQUIREMENTS[name]:
            pip = [
                str(environment / "bin" / "pip"),
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *requirements,
            ]
            if (
                subprocess.run(
                    pip, check=False, capture_output=True, timeout=INSTALLATION_TIMEOUT_S
                ).returncode
                == 0
            ):
                done.touch()
                return True
    except (OSError, subprocess.SubprocessError) as error:
        print(f"  {error}", file=sys.stderr)
    print(f"{name} can't be installed here: it is left out", file=sys.stderr)
    return False


def seconds(command: list[str], *, timeout_s: float | None = None) -> float | None:
    """Wall time of a command; None if it wasn't done in time. Stops the benchmark if it fails."""
    environment = {
        **os.environ,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
        "DO_NOT_TRACK": "1",
    }
    began = time.perf_counter()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the helpers that it started
            return None
    taken = time.perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(
            f"{' '.join(command)[:300]}: exit"
            f" {process.returncode}\n{output[-2000:]}\n{errors[-2000:]}"
        )
    return taken


def edit(folder: Path, asset: Asset) -> None:
    """Append a comment to one asset's file, and wait until that isn't just now any more."""
    path = next(folder.rglob(f"{asset.name}.sql"))
    with path.open("a", encoding="utf-8") as file:
        file.write("-- edited\n")
    time.sleep(SETTLED_S)


def measure_headrace(folder: Path, assets: list[Asset], runs: int) -> dict[str, list[float]]:
    """Seconds of each run, by what was measured."""
    write_headrace(folder, assets)
    time.sleep(SETTLED_S)
    middle, last = assets[len(assets) // 2], assets[-1]
    validate = _validate(folder)
    lineage = [
        str(COMMAND),
        "lineage",
        f"{last.name}.v{last.number}",
        "--json",
        "--project",
        str(folder),
    ]
    result: dict[str, list[float]] = {
        "cold": [_cold(folder, validate) for _ in range(min(runs, COLD_RUNS))],
        "unchanged": [_whole(validate) for _ in range(runs)],
        "one_edit": [],
    }
    for _ in range(runs):
        edit(folder, middle)
        result["one_edit"].append(_whole(validate))
    result["lineage"] = [_whole(lineage) for _ in range(runs)]
    return result


def _validate(folder: Path) -> list[str]:
    return [str(COMMAND), "validate", "--json", "--project", str(folder)]


def _cold(folder: Path, command: list[str]) -> float:
    """Without what an earlier run has cached."""
    shutil.rmtree(folder / ".headrace", ignore_errors=True)
    return _whole(command)


def _cold_peak_mb(folder: Path, command: list[str]) -> float:
    shutil.rmtree(folder / ".headrace", ignore_errors=True)
    return watch(command).peak_mb


def _whole(command: list[str]) -> float:
    taken = seconds(command)
    assert taken is not None
    return taken


def measure_peer(
    peer: Peer, folder: Path, assets: list[Asset], timeout_s: float
) -> dict[str, tuple[str, float]]:
    """The peer's name as it belongs beside the figure, and its seconds, by what was measured."""
    peer.write(folder, assets)
    last = assets[-1]
    result: dict[str, tuple[str, float]] = {}
    steps: list[tuple[str, list[str]]] = [
        ("cold", peer.load(folder)),
        ("unchanged", peer.load(folder)),
        ("one_edit", peer.load(folder)),
    ]
    if peer.lineage is not None:
        steps.append(("lineage", peer.lineage(folder, last.name, f"v{last.number}")))
    for what, command in steps:
        if what == "one_edit":
            edit(folder, assets[len(assets) // 2])
        print(f"  {peer.name}, {what}, {len(assets):,} …", file=sys.stderr)
        taken = seconds(command, timeout_s=timeout_s)
        if taken is None:
            result[what] = (f"{peer.name} (stopped)", timeout_s)
            break
        result[what] = (peer.name, taken)
    return result


def measure(
    *, quick: bool, peers_folder: Path, timeout: float, without_peers: bool
) -> list[Figure]:
    """All sizes; with `quick` one small one, without peers."""
    others = [] if quick or without_peers else peers(peers_folder)
    figures: list[Figure] = []
    for size in (SIZE_QUICK,) if quick else SIZES:
        assets = graph(size)
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
            print(f"headrace, {size:,} assets …", file=sys.stderr)
            folder = Path(name, "headrace")
            mine = measure_headrace(folder, assets, 1 if quick else RUNS)
            peak = _cold_peak_mb(folder, _validate(folder))
            beside = [
                measure_peer(peer, Path(name, peer.name.split()[0]), assets, timeout)
                for peer in others
            ]
            shutil.rmtree(name, ignore_errors=True)
        goals = GOALS_S[SIZES[0] if quick else size]
        figures += [
            _figure(
                f"{what}_{size}",
                runs,
                goals[what],
                [result[what] for result in beside if what in result],
            )
            for what, runs in mine.items()
        ]
        figures.append(
            Figure(
                name=f"cold_peak_mb_{size}",
                value=peak,
                unit="MB",
                goal=COLD_PEAK_MB if size == SIZES[-1] else None,
                runs=[peak],
            )
        )
    return figures


def _figure(name: str, runs: list[float], goal: float, against: list[tuple[str, float]]) -> Figure:
    return Figure(
        name=name,
        value=statistics.median(runs),
        unit="s",
        goal=goal,
        runs=runs,
        against=dict(against),
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers",
        dest="peers_folder",
        type=Path,
        default=PEERS,
        metavar="DIR",
        help=f"where the peers are installed (default: {PEERS})",
    )
    parser.add_argument("--without-peers", action="store_true", help="measure Headrace only")
    parser.add_argument(
        "--timeout", type=float, default=PEER_TIMEOUT_S, metavar="S", help="when a peer is stopped"
    )


if __name__ == "__main__":
    main(__doc__, measure, _options)
