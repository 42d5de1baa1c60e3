"""Values of columns that nobody classified × everything that Headrace serves × the roles that may see
nodes and not read their rows: no value in any of it. TRUST Z4."""

from __future__ import annotations

from pathlib import Path

import pytest
from leaks_lab import CANARY, FORMS, sent, served, typed
from rows_lab import LINES, NAMED_HERE, SEES_ONLY, TABLES, played

pytest.importorskip("headrace_observe")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_value_leaves_to_roles_that_read_no_rows(tmp_path: Path) -> None:
    """Would catch: a category, an example or a delivered value in the history, a reason, a verdict,
    evidence, a check, a proposal or the audit trail, for an operator or an auditor."""
    root = tmp_path / "shops"
    tokens = played(root)
    reader = {"viewer": tokens.pop("viewer")}
    answers = [
        *served(root, tokens, NAMED_HERE, TABLES),
        *typed(root, tokens, FORMS[1:], LINES),
    ]
    assert {answer.role for answer in answers} == set(SEES_ONLY)
    leaked = {(item.role, item.outlet) for item in answers if CANARY.search(item.body)}
    assert leaked == set()
    assert not [item.outlet for item in sent(root) if CANARY.search(item.body)]
    shown = {
        item.outlet for item in served(root, reader, NAMED_HERE, TABLES) if CANARY.search(item.body)
    }
    assert {  # else the project proves nothing
        "GET /api/v1/assets/sales/history?column=branch",
        "GET /api/v1/why/sales@2025-03-11",
        "GET /api/v1/incidents",
        "GET /api/v1/checks",
        "GET /api/v1/deliveries/sales",
    } <= shown
