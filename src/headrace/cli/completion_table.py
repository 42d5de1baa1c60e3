"""What can be typed behind each command, for shell completion.

`python -m scripts.completion_table` writes this file from the commands' declarations.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """An option, or an argument by its position (without `options`)."""

    options: tuple[str, ...]
    takes: str | None
    """Small words that are typed as they are, capital words for what is named; None for a flag."""
    many: bool = False
    """Whether an argument takes all remaining words."""


PLACES: dict[str, tuple[Place, ...]] = {
    "demo": (
        Place((), "[resume] [DIR]"),
        Place((), ""),
        Place(("--days",), "N"),
        Place(("--fault",), "rename|none"),
        Place(("--no-serve",), None),
        Place(("--fresh",), None),
    ),
    "init": (
        Place((), "[DIR]"),
        Place(("--from",), "FILE…"),
    ),
    "status": (
        Place((), "[SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--window",), "D"),
        Place(("--explain",), "FIGURE"),
        Place(("--exit-code",), None),
    ),
    "ls": (
        Place((), "[SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--exclude",), "SELECT"),
    ),
    "why": (Place((), "CONSUMER|ASSET[@K]"),),
    "runs": (
        Place((), "[RUN]"),
        Place(("--failed",), None),
        Place(("--since",), "T"),
        Place(("--limit",), "N"),
        Place(("--exit-code",), None),
    ),
    "logs": (
        Place((), "ASSET[@K]|ATTEMPT"),
        Place(("--follow", "-f"), None),
        Place(("--grep",), "RE"),
    ),
    "deliveries": (
        Place((), "SOURCE"),
        Place(("--limit",), "N"),
    ),
    "incidents": (
        Place((), "[report|note|fix]"),
        Place((), "NODE|INC-N"),
        Place(("--all",), None),
        Place(("--from",), "K"),
        Place(("--to",), "K"),
        Place(("--reason",), "TEXT"),
        Place(("--dry-run",), None),
        Place(("--yes",), None),
        Place(("--exit-code",), None),
    ),
    "incident": (Place((), "INC-N"),),
    "quarantine": (
        Place((), "[ASSET[@K]|accept|drop]"),
        Place((), "[ASSET@K|INC-N]"),
        Place(("--reason",), "TEXT"),
        Place(("--until",), "T"),
        Place(("--exit-code",), None),
    ),
    "checks": (
        Place((), "[challenge|suggest] [SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--exclude",), "SELECT"),
        Place(("--history",), "N"),
        Place(("--seconds",), "N"),
        Place(("--unnoticed",), None),
        Place(("--write",), None),
        Place(("--exit-code",), None),
    ),
    "lineage": (
        Place((), "ASSET[.COLUMN]"),
        Place(("--up",), None),
        Place(("--down",), None),
    ),
    "read": (
        Place((), "ASSET"),
        Place(("--partition",), "K,…"),
        Place(("--at",), "T"),
        Place(("--version",), "N"),
        Place(("--limit",), "N"),
        Place(("--format",), "table|csv|json|parquet|arrow"),
        Place(("--out",), "FILE"),
        Place(("--as",), "ROLE"),
    ),
    "diff": (
        Place((), "ASSET[@K]"),
        Place(("--at",), "T"),
        Place(("--partition",), "K,…"),
        Place(("--keys",), "C,…"),
        Place(("--exit-code",), None),
    ),
    "sql": (
        Place((), "[QUERY]"),
        Place(("--at",), "T"),
        Place(("--limit",), "N"),
        Place(("--set",), "k=v"),
        Place(("--format",), "table|csv|json|parquet|arrow"),
        Place(("--out",), "FILE"),
        Place(("--attach",), None),
    ),
    "explain": (Place((), "[CODE]"),),
    "versions": (
        Place((), "[N]"),
        Place(("--file",), "PATH"),
    ),
    "audit": (
        Place((), "show|verify|checkpoint"),
        Place((), "[ENTRY]"),
        Place(("--object",), "PATTERN"),
        Place(("--actor",), "PATTERN"),
        Place(("--action",), "PATTERN"),
        Place(("--since",), "T"),
        Place(("--limit",), "N"),
        Place(("--head",), "HASH"),
        Place(("--checkpoint",), "FILE"),
        Place(("--out",), "FILE"),
    ),
    "fix": (
        Place((), "INC-N"),
        Place(("--dry-run",), None),
        Place(("--yes",), None),
        Place(("--convert",), "EXPRESSION"),
        Place(("--as-is",), None),
        Place(("--again",), None),
        Place(("--plan",), "PLAN_ID"),
        Place(("--reason",), "TEXT"),
    ),
    "run": (
        Place((), "[SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--exclude",), "SELECT"),
        Place(("--partition",), "K,…"),
        Place(("--from",), "K"),
        Place(("--to",), "K"),
        Place(("--again",), None),
        Place(("--reason",), "TEXT"),
        Place(("--set",), "k=v"),
    ),
    "backfill": (
        Place((), "[SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--exclude",), "SELECT"),
        Place(("--from",), "K"),
        Place(("--to",), "K"),
        Place(("--since",), "T"),
        Place(("--mode",), "missing|failed|all"),
        Place(("--reason",), "TEXT"),
        Place(("--only",), None),
        Place(("--allow-partial",), None),
        Place(("--dry-run",), None),
        Place(("--yes",), None),
        Place(("--plan",), "PLAN_ID"),
    ),
    "backfills": (
        Place((), "[ID|pause|resume|cancel]"),
        Place((), "[ID]"),
        Place(("--reason",), "TEXT"),
    ),
    "receive": (
        Place((), "SOURCE"),
        Place((), "FILE"),
        Place(("--for",), "K"),
        Place(("--reason",), "TEXT"),
    ),
    "try": (
        Place((), "ASSET[@K]"),
        Place(("--limit",), "N"),
        Place(("--set",), "k=v"),
    ),
    "retry": (
        Place((), "RUN|ASSET[@K]"),
        Place(("--reason",), "TEXT"),
    ),
    "cancel": (
        Place((), "RUN"),
        Place(("--reason",), "TEXT"),
    ),
    "pause": (
        Place((), "[SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--exclude",), "SELECT"),
        Place(("--reason",), "TEXT"),
        Place(("--until",), "T"),
    ),
    "resume": (
        Place((), "[SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--exclude",), "SELECT"),
        Place(("--reason",), "TEXT"),
    ),
    "waive": (
        Place((), "CONSUMER@K"),
        Place(("--reason",), "TEXT"),
    ),
    "exports": (
        Place((), "take-over"),
        Place((), "CONSUMER"),
        Place(("--reason",), "TEXT"),
    ),
    "unpublish": (
        Place((), "ASSET@K"),
        Place(("--reason",), "TEXT"),
    ),
    "test": (
        Place((), "[SELECT]...", many=True),
        Place(("--select", "-s"), "SELECT"),
        Place(("--exclude",), "SELECT"),
        Place(("--set",), "k=v"),
    ),
    "schema": (
        Place((), "SCHEMA"),
        Place(("--write",), None),
    ),
    "validate": (Place(("--bind",), None),),
    "render": (
        Place((), "ASSET[@K]"),
        Place(("--set",), "k=v"),
    ),
    "plan": (
        Place(("--against",), "REF"),
        Place(("--format",), "text|markdown|github"),
        Place(("--exit-code",), None),
    ),
    "apply": (
        Place((), "[PLAN_ID]"),
        Place(("--yes",), None),
        Place(("--backfill",), None),
        Place(("--keep",), "SELECT"),
        Place(("--reason",), "TEXT"),
    ),
    "contract": (
        Place((), "show|diff|accept|infer"),
        Place((), "[NODE[@K]]"),
        Place(("--map",), "COLUMN=NAME"),
        Place(("--patch",), None),
        Place(("--write",), None),
        Place(("--yes",), None),
        Place(("--plan",), "PLAN_ID"),
        Place(("--convert",), "EXPRESSION"),
        Place(("--as-is",), None),
        Place(("--reason",), "TEXT"),
    ),
    "connections": (
        Place((), "[test]"),
        Place((), "[NAME]"),
    ),
    "notify": (
        Place((), "[test]"),
        Place((), "[OWNER]"),
        Place(("--all",), None),
    ),
    "doctor": (),
    "serve": (
        Place(("--host",), "ADDRESS"),
        Place(("--port",), "N"),
        Place(("--name",), "NAME"),
    ),
    "dev": (
        Place(("--host",), "ADDRESS"),
        Place(("--port",), "N"),
    ),
    "tick": (),
    "db": (
        Place((), "upgrade|check|backup|restore|gc"),
        Place((), "[DIR]"),
        Place(("--deep",), None),
        Place(("--repair",), None),
        Place(("--reason",), "TEXT"),
        Place(("--dry-run",), None),
        Place(("--force",), None),
        Place(("--new-state",), None),
        Place(("--yes", "-y"), None),
    ),
}
