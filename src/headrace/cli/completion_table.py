"""The parameters of each command and the values that they take, for shell completion.

`python -m scripts.completion_table` writes this file from the commands' declarations.
"""

from __future__ import annotations

from typing import NamedTuple


class CompletedParameter(NamedTuple):
    """An option, or, if `options` is empty, the argument at its position."""

    options: tuple[str, ...]
    takes: str | None
    """The metavar: lower-case words are typed literally, upper-case words name a kind of value.

    None for a flag.
    """
    many: bool = False
    """Whether an argument takes all remaining words."""


PARAMETERS: dict[str, tuple[CompletedParameter, ...]] = {
    "demo": (
        CompletedParameter((), "[resume] [DIR]"),
        CompletedParameter((), ""),
        CompletedParameter(("--days",), "N"),
        CompletedParameter(("--fault",), "rename|none"),
        CompletedParameter(("--no-serve",), None),
        CompletedParameter(("--fresh",), None),
    ),
    "init": (
        CompletedParameter((), "[DIR]"),
        CompletedParameter(("--from",), "FILE…"),
    ),
    "import": (
        CompletedParameter(
            (), "dbt|airflow|adf|prefect|dagster|suggestion|status|shadow|diff|move|retire|rollback"
        ),
        CompletedParameter((), "PATH"),
        CompletedParameter(("--into",), "DIR"),
        CompletedParameter(("--with-dbt",), None),
        CompletedParameter(("--check",), None),
        CompletedParameter(("--apply",), None),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--since",), "T"),
    ),
    "status": (
        CompletedParameter((), "[SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--window",), "D"),
        CompletedParameter(("--explain",), "FIGURE"),
        CompletedParameter(("--exit-code",), None),
    ),
    "ls": (
        CompletedParameter((), "[SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--exclude",), "SELECT"),
    ),
    "what-if": (
        CompletedParameter(("--set",), "WHAT=VALUE"),
        CompletedParameter(("--keep",), "[CONSUMER=]TIME"),
        CompletedParameter(("--in",), "PERCENT"),
        CompletedParameter(("--without",), "ASSET"),
        CompletedParameter(("--backfill",), "SELECT"),
        CompletedParameter(("--from",), "K"),
        CompletedParameter(("--to",), "K"),
        CompletedParameter(("--at",), "TIME"),
        CompletedParameter(("--days",), "N"),
        CompletedParameter(("--samples",), "N"),
        CompletedParameter(("--seed",), "N"),
    ),
    "why": (CompletedParameter((), "CONSUMER|ASSET[@K]"),),
    "badge": (
        CompletedParameter((), "CONSUMER"),
        CompletedParameter(("--days",), "N"),
    ),
    "bottleneck": (
        CompletedParameter((), "[CONSUMER|apply ASSET]...", many=True),
        CompletedParameter(("--window",), "D"),
        CompletedParameter(("--yes",), None),
    ),
    "complexity": (
        CompletedParameter((), "[prune|undo|restore]"),
        CompletedParameter((), "[ID]...", many=True),
        CompletedParameter(("--yes",), None),
    ),
    "costs": (
        CompletedParameter(("--by",), "GROUP"),
        CompletedParameter(("--window",), "D"),
    ),
    "runs": (
        CompletedParameter((), "[RUN]"),
        CompletedParameter(("--failed",), None),
        CompletedParameter(("--since",), "T"),
        CompletedParameter(("--limit",), "N"),
        CompletedParameter(("--exit-code",), None),
    ),
    "logs": (
        CompletedParameter((), "ASSET[@K]|ATTEMPT"),
        CompletedParameter(("--follow", "-f"), None),
        CompletedParameter(("--grep",), "RE"),
    ),
    "deliveries": (
        CompletedParameter((), "SOURCE"),
        CompletedParameter(("--limit",), "N"),
    ),
    "incidents": (
        CompletedParameter((), "[report|note|fix]"),
        CompletedParameter((), "NODE|INC-N"),
        CompletedParameter(("--all",), None),
        CompletedParameter(("--from",), "K"),
        CompletedParameter(("--to",), "K"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--dry-run",), None),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--exit-code",), None),
    ),
    "incident": (CompletedParameter((), "INC-N"),),
    "quarantine": (
        CompletedParameter((), "[ASSET[@K]|accept|drop]"),
        CompletedParameter((), "[ASSET@K|INC-N]"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--until",), "T"),
        CompletedParameter(("--exit-code",), None),
    ),
    "checks": (
        CompletedParameter((), "[challenge|suggest] [SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--exclude",), "SELECT"),
        CompletedParameter(("--history",), "N"),
        CompletedParameter(("--seconds",), "N"),
        CompletedParameter(("--unnoticed",), None),
        CompletedParameter(("--write",), None),
        CompletedParameter(("--exit-code",), None),
    ),
    "lineage": (
        CompletedParameter((), "ASSET[.COLUMN]"),
        CompletedParameter(("--up",), None),
        CompletedParameter(("--down",), None),
    ),
    "read": (
        CompletedParameter((), "ASSET"),
        CompletedParameter(("--partition",), "K,…"),
        CompletedParameter(("--at",), "T"),
        CompletedParameter(("--version",), "N"),
        CompletedParameter(("--limit",), "N"),
        CompletedParameter(("--format",), "table|csv|json|parquet|arrow"),
        CompletedParameter(("--out",), "FILE"),
        CompletedParameter(("--as",), "ROLE"),
    ),
    "diff": (
        CompletedParameter((), "ASSET[@K]"),
        CompletedParameter(("--at",), "T"),
        CompletedParameter(("--partition",), "K,…"),
        CompletedParameter(("--keys",), "C,…"),
        CompletedParameter(("--exit-code",), None),
    ),
    "sql": (
        CompletedParameter((), "[QUERY]"),
        CompletedParameter(("--at",), "T"),
        CompletedParameter(("--limit",), "N"),
        CompletedParameter(("--set",), "k=v"),
        CompletedParameter(("--format",), "table|csv|json|parquet|arrow"),
        CompletedParameter(("--out",), "FILE"),
        CompletedParameter(("--attach",), None),
    ),
    "explain": (CompletedParameter((), "[CODE]"),),
    "versions": (
        CompletedParameter((), "[N]"),
        CompletedParameter(("--file",), "PATH"),
    ),
    "access": (
        CompletedParameter((), "whoami|explain|matrix|review|break-glass"),
        CompletedParameter((), "[WHO]"),
        CompletedParameter((), "[COMMAND]"),
        CompletedParameter((), "[NODE]"),
        CompletedParameter(("--for",), "DURATION"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--end",), None),
        CompletedParameter(("--out",), "FILE.csv"),
    ),
    "audit": (
        CompletedParameter((), "show|verify|checkpoint"),
        CompletedParameter((), "[ENTRY]"),
        CompletedParameter(("--object",), "PATTERN"),
        CompletedParameter(("--actor",), "PATTERN"),
        CompletedParameter(("--action",), "PATTERN"),
        CompletedParameter(("--since",), "T"),
        CompletedParameter(("--limit",), "N"),
        CompletedParameter(("--head",), "HASH"),
        CompletedParameter(("--checkpoint",), "FILE"),
        CompletedParameter(("--out",), "FILE"),
    ),
    "fix": (
        CompletedParameter((), "INC-N"),
        CompletedParameter(("--dry-run",), None),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--convert",), "EXPRESSION"),
        CompletedParameter(("--as-is",), None),
        CompletedParameter(("--again",), None),
        CompletedParameter(("--plan",), "PLAN_ID"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "run": (
        CompletedParameter((), "[SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--exclude",), "SELECT"),
        CompletedParameter(("--partition",), "K,…"),
        CompletedParameter(("--from",), "K"),
        CompletedParameter(("--to",), "K"),
        CompletedParameter(("--again",), None),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--set",), "k=v"),
    ),
    "backfill": (
        CompletedParameter((), "[SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--exclude",), "SELECT"),
        CompletedParameter(("--from",), "K"),
        CompletedParameter(("--to",), "K"),
        CompletedParameter(("--since",), "T"),
        CompletedParameter(("--mode",), "missing|failed|all"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--only",), None),
        CompletedParameter(("--allow-partial",), None),
        CompletedParameter(("--dry-run",), None),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--plan",), "PLAN_ID"),
    ),
    "backfills": (
        CompletedParameter((), "[ID|pause|resume|cancel]"),
        CompletedParameter((), "[ID]"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "approvals": (),
    "approve": (
        CompletedParameter((), "ID"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--link",), "LINK"),
    ),
    "reject": (
        CompletedParameter((), "ID"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--link",), "LINK"),
    ),
    "receive": (
        CompletedParameter((), "SOURCE"),
        CompletedParameter((), "FILE"),
        CompletedParameter(("--for",), "K"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "try": (
        CompletedParameter((), "ASSET[@K]"),
        CompletedParameter(("--limit",), "N"),
        CompletedParameter(("--set",), "k=v"),
    ),
    "retry": (
        CompletedParameter((), "RUN|ASSET[@K]"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "cancel": (
        CompletedParameter((), "RUN"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "pause": (
        CompletedParameter((), "[SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--exclude",), "SELECT"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--until",), "T"),
    ),
    "resume": (
        CompletedParameter((), "[SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--exclude",), "SELECT"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "waive": (
        CompletedParameter((), "CONSUMER@K"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "exports": (
        CompletedParameter((), "take-over"),
        CompletedParameter((), "CONSUMER"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "unpublish": (
        CompletedParameter((), "ASSET@K"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "erase": (
        CompletedParameter((), "SUBJECT"),
        CompletedParameter(("--where",), "KEYS"),
        CompletedParameter(("--from",), "NODE"),
        CompletedParameter(("--dry-run",), None),
        CompletedParameter(("--plan",), "PLAN_ID"),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "hold": (
        CompletedParameter((), "[NODE|release]"),
        CompletedParameter((), "[NODE]"),
        CompletedParameter(("--all",), None),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "test": (
        CompletedParameter((), "[SELECT]...", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--exclude",), "SELECT"),
        CompletedParameter(("--set",), "k=v"),
    ),
    "schema": (
        CompletedParameter((), "SCHEMA"),
        CompletedParameter(("--write",), None),
    ),
    "validate": (CompletedParameter(("--bind",), None),),
    "render": (
        CompletedParameter((), "ASSET[@K]"),
        CompletedParameter(("--set",), "k=v"),
    ),
    "optimize": (
        CompletedParameter((), "[SELECT|check FILE|apply ID|dismiss ID|reopen ID]...", many=True),
        CompletedParameter(("--exclude",), "SELECT"),
        CompletedParameter(("--dialect",), "D"),
        CompletedParameter(("--prove",), None),
        CompletedParameter(("--partitions",), "N"),
        CompletedParameter(("--budget",), "D"),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--exit-code",), None),
    ),
    "ab": (
        CompletedParameter((), "[ASSET]"),
        CompletedParameter(("--change",), "FILE"),
        CompletedParameter(("--setting",), "K=V"),
        CompletedParameter(("--partitions",), "N|K,…"),
        CompletedParameter(("--budget",), "D"),
    ),
    "plan": (
        CompletedParameter(("--against",), "REF"),
        CompletedParameter(("--format",), "text|markdown|github"),
        CompletedParameter(("--exit-code",), None),
    ),
    "apply": (
        CompletedParameter((), "[PLAN_ID]"),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--backfill",), None),
        CompletedParameter(("--keep",), "SELECT"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "contract": (
        CompletedParameter((), "show|diff|accept|infer"),
        CompletedParameter((), "[NODE[@K]]"),
        CompletedParameter(("--map",), "COLUMN=NAME"),
        CompletedParameter(("--patch",), None),
        CompletedParameter(("--write",), None),
        CompletedParameter(("--yes",), None),
        CompletedParameter(("--plan",), "PLAN_ID"),
        CompletedParameter(("--convert",), "EXPRESSION"),
        CompletedParameter(("--as-is",), None),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "classify": (
        CompletedParameter((), "[SELECT]", many=True),
        CompletedParameter(("--select", "-s"), "SELECT"),
        CompletedParameter(("--suggest",), None),
    ),
    "export": (
        CompletedParameter((), "dbt-manifest"),
        CompletedParameter(("--into",), "DIR"),
    ),
    "token": (
        CompletedParameter((), "create|list|revoke"),
        CompletedParameter((), "[NAME]"),
        CompletedParameter(("--scope",), "ROLE[:SCOPE]"),
        CompletedParameter(("--expires",), "DURATION"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "keys": (
        CompletedParameter((), "status|rotate|reveal"),
        CompletedParameter((), "[DOMAIN|TOKEN]"),
        CompletedParameter(("--node",), "NODE"),
        CompletedParameter(("--column",), "COLUMN"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "freeze": (
        CompletedParameter((), "[WHO]"),
        CompletedParameter(("--all",), None),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "unfreeze": (
        CompletedParameter((), "[WHO]"),
        CompletedParameter(("--all",), None),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "user": (
        CompletedParameter((), "add|list|password|remove"),
        CompletedParameter((), "NAME"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "session": (
        CompletedParameter((), "list|end"),
        CompletedParameter((), "ID"),
        CompletedParameter(("--reason",), "TEXT"),
    ),
    "connections": (
        CompletedParameter((), "[test]"),
        CompletedParameter((), "[NAME]"),
    ),
    "notify": (
        CompletedParameter((), "[test]"),
        CompletedParameter((), "[OWNER]"),
        CompletedParameter(("--all",), None),
    ),
    "doctor": (),
    "conformance": (
        CompletedParameter((), "-- COMMAND...", many=True),
        CompletedParameter(("--input",), "NAME=FILE"),
        CompletedParameter(("--input-format",), ""),
        CompletedParameter(("--set",), "k=v"),
        CompletedParameter(("--without-rows",), None),
        CompletedParameter(("--timeout",), "SECONDS"),
    ),
    "bench": (
        CompletedParameter((), "[NAME]...", many=True),
        CompletedParameter(("--quick",), None),
        CompletedParameter(("--folder",), "DIR"),
    ),
    "serve": (
        CompletedParameter(("--host",), "ADDRESS"),
        CompletedParameter(("--port",), "N"),
        CompletedParameter(("--name",), "NAME"),
    ),
    "mcp": (CompletedParameter(("--on-behalf-of",), "PERSON"),),
    "dev": (
        CompletedParameter(("--host",), "ADDRESS"),
        CompletedParameter(("--port",), "N"),
    ),
    "tick": (),
    "db": (
        CompletedParameter((), "upgrade|check|backup|restore|gc"),
        CompletedParameter((), "[DIR]"),
        CompletedParameter(("--deep",), None),
        CompletedParameter(("--repair",), None),
        CompletedParameter(("--reason",), "TEXT"),
        CompletedParameter(("--dry-run",), None),
        CompletedParameter(("--force",), None),
        CompletedParameter(("--new-state",), None),
        CompletedParameter(("--yes", "-y"), None),
    ),
}
