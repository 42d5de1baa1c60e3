"""The project of a world, as files."""

from __future__ import annotations

from pathlib import Path

from lab.graph import DAY, Asset, Consumer, Graph
from lab.shapes import Reference, Source, World

SERVER = "LAB_SERVER"
TOKEN = "LAB_TOKEN"


def declare(root: Path, world: World, graph: Graph) -> None:
    """Write it down."""
    for folder in ("assets", "sources", "landing", "served", "exports", "machine"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "headrace.toml").write_text(
        f'[project]\nname = "lab"\ntimezone = "{world.zone}"\n[run]\nworkers = 1\npass_environment'
        ' = ["LAB_MACHINE"]\n'
    )
    (root / "owners.yaml").write_text(_owners(world, graph))
    for source in world.events:
        (root / f"sources/{source.name}.yaml").write_text(_source(source))
    (root / f"sources/{world.reference.name}.yaml").write_text(_reference(world.reference))
    declare_assets(root, graph)
    declare_consumers(root, graph.consumers)


def declare_assets(root: Path, graph: Graph) -> None:
    for asset in graph.assets:
        (root / f"assets/{asset.name}.{'py' if asset.python else 'sql'}").write_text(_asset(asset))


def declare_consumers(root: Path, consumers: tuple[Consumer, ...]) -> None:
    (root / "consumers.yaml").write_text("".join(map(_consumer, consumers)))


def _owners(world: World, graph: Graph) -> str:
    vendors = dict.fromkeys([*(source.owner for source in world.events), world.reference.owner])
    lines = [
        f"{name}: {{kind: vendor, contact: ['mailto:{name}@example.com']}}" for name in vendors
    ]
    lines += [
        f"{name}: {{kind: team, contact: ['mailto:{name}@example.com']}}" for name in graph.teams
    ]
    return "\n".join(lines) + "\n"


def _source(source: Source) -> str:
    lines = [
        f"source: {source.name}",
        f"owner: {source.owner}",
        f"partition: {{by: day, column: {source.day}}}",
    ]
    if source.kind == "http":
        lines += [
            "http:",
            f"  url: ${{{SERVER}}}/{source.name}_{{date:%Y-%m-%d}}.csv",
            f'  headers: {{Authorization: "Bearer ${{{TOKEN}}}"}}',
        ]
    else:
        lines.append(f"files: landing/{source.name}_{{date:%Y-%m-%d}}.{source.format}")
    if source.by:
        lines.append(f"expect: {{by: '{source.by}'}}")
    return "\n".join(lines) + "\n"


def _reference(known: Reference) -> str:
    cut = "partition: {by: day, column: as_of}\n" if known.daily else ""
    files = (
        f"landing/{known.name}_{{date:%Y-%m-%d}}.csv"
        if known.daily
        else f"landing/{known.name}.csv"
    )
    return f"source: {known.name}\nowner: {known.owner}\n{cut}files: {files}\n"


def _asset(asset: Asset) -> str:
    if asset.python:
        return asset.body.replace("{team}", asset.owner).replace("{{", "{").replace("}}", "}")
    checks = "".join(f"\n  - {check}" for check in asset.checks)
    return (
        f"/* headrace\nowner: {asset.owner}\npartition: {{by: day, column: {DAY}}}\n"
        + (f"checks:{checks}\n" if checks else "")
        + f"*/\n{asset.body}\n"
    )


def _consumer(item: Consumer) -> str:
    lines = [
        f"- consumer: {item.name}",
        f"  owner: {item.owner}",
        f"  reads: [{', '.join(item.reads)}]",
        f"  {item.promise}",
    ]
    if item.export:
        lines.append('  export: {to: "exports/{asset}_{date:%Y-%m-%d}.csv"}')
    return "\n".join(lines) + "\n"
