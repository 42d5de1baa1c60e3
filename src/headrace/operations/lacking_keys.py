"""What is waiting because the node that a `references` check names lacked keys: who adds them, and when it is checked again."""

from __future__ import annotations

from headrace.model import Asset, Project, Source
from headrace.model.commands import command_line
from headrace.run.looking_far import read_again_every
from headrace.store import Transaction
from headrace.store.queries import attempts, checks, partitions

_WITHHELD = ("held", "rejected")


def lacking_keys(tx: Transaction, project: Project, node: str, partition: str) -> str:
    """What else can be done about a partition that is withheld because of a `references` check, as the rest of a sentence that says
    what to do first; empty of any other."""
    row = partitions.get(tx, node, partition)
    declared = _node(project, node)
    last = next(iter(attempts.of_partition(tx, node, partition, limit=1)), None)
    if declared is None or last is None or row is None or row.state not in _WITHHELD:
        return ""
    failed = {
        one.name
        for one in checks.of_attempt(tx, last.epoch, last.n)
        if one.partition == partition and one.outcome == "failed" and one.severity == "blocking" and one.kind == "references"
    }
    to = next((str(one.arguments["to"]) for one in declared.checks if one.kind == "references" and one.name in failed), None)
    other = None if to is None else _node(project, to.partition(".")[0])
    if other is None:
        return ""
    asked, again = f"; or, if {to} lacks keys, ask {other.owner} for them", f"checked again as soon as {other.name} has other rows"
    every = read_again_every(tx, other) if isinstance(other, Source) else None
    if every is None:
        return f"{asked}: it is {again}"
    run = command_line("run", other.name, "--again", "--reason", "TEXT")
    return f"{asked}, then {run} ({other.name} is read every {every} by itself): it is {again}"


def _node(project: Project, name: str) -> Source | Asset | None:
    return project.sources.get(name) or project.assets.get(name)
