"""Rows of quarantine without what a contract classifies."""

from __future__ import annotations

from headrace.model import Contract, ContractColumn, Place
from headrace.services.quarantine import without_classified

ROWS = [
    {"ID": "1", "mail": "ada@example.com", "e_mail": "ada@example.com", "note": "x"},
    {"mail": "bo@example.com"},
]


def _contract(*classified: str) -> Contract:
    columns = [
        ContractColumn(
            name=name,
            classification="restricted" if name in classified else None,
            names=({"name": f"old_{name}", "from": "2025"},),
        )
        for name in ("id", "mail")
    ]
    return Contract(
        name="people",
        version="1.0.0",
        status="active",
        columns=tuple(columns),
        place=Place(file="contracts/people.yaml"),
    )


def test_classified_values_are_never_shown() -> None:
    """Would catch: the values of a classified column that only its name's case tells apart, or that
    has been renamed without notice."""
    assert without_classified(ROWS, None, raw=True) == ROWS
    assert without_classified(ROWS, _contract(), raw=True) == ROWS
    assert without_classified(ROWS, _contract("mail"), raw=True) == [{"ID": "1"}], (
        "`e_mail` may be what `mail` was"
    )
    assert without_classified(
        [{"MAIL": "a", "old_mail": "b", "old_id": 1}], _contract("mail"), raw=False
    ) == [{"old_id": 1}]
