"""Views with blocking checks: which of them are stored, so that a failed check stops only them.

A view has no rows of its own: its checks belong to what it reads, and a failed one rejects that.
In dbt, a failed test of a view stops only what reads the view.
"""

from __future__ import annotations

from headrace_import.importers.dbt.outcome import Model, Outcome


def store_checked_views(outcome: Outcome) -> None:
    """Make tables of views whose checks would stop others; say of the rest what they stop."""
    in_order = sorted(outcome.models, key=lambda uid: (len(outcome.ancestors(uid)), uid))
    for uid in in_order:
        if uid in outcome.views and _has_blocking_checks(outcome, uid):
            _place(outcome, uid, outcome.models[uid])


def _place(outcome: Outcome, uid: str, model: Model) -> None:
    stored = sorted(outcome.nodes.by_id[ref].target for ref in outcome.stored(uid))
    if _other_readers(outcome, uid):
        outcome.views.discard(uid)
        model.fields.pop("materialize", None)
        model.notes.append(
            f"stored, because others read {', '.join(stored)}, too, which a failed check of a view"
            " would reject"
        )
    elif stored:
        model.notes.append(f"a failed check of it rejects the new rows of {', '.join(stored)}")


def _has_blocking_checks(outcome: Outcome, uid: str) -> bool:
    checks = outcome.checks.get(uid, ())
    return any(check.declaration.get("severity") != "warning" for check in checks)


def _other_readers(outcome: Outcome, uid: str) -> bool:
    """Return whether something reads what a view reads, and not through that view."""
    between = _between(outcome, uid)
    return any(
        reader not in between and reader in outcome.tables and between.intersection(refs) - {uid}
        for reader, refs in outcome.reads.items()
    )


def _between(outcome: Outcome, uid: str) -> set[str]:
    """Return a view, the nodes that store its rows, and the views between them."""
    nodes, left = set[str](), [uid]
    while left:
        node = left.pop()
        if node not in nodes:
            nodes.add(node)
            left += outcome.reads.get(node, ()) if node in outcome.views else ()
    return nodes
