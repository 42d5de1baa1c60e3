"""What `repair` says of a restatement: whether Headrace recomputes what reads it by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.model import Project, Settings
from headrace.plan import Compiled
from headrace.repairs import repair_actions
from headrace.repairs.repair_forecast import RepairForecast
from headrace.repairs.repair_steps import Mending, RepairAction
from headrace.store import Store
from headrace.store.queries import incidents
from headrace.store.queries.incidents import Affected, Incident


@pytest.mark.parametrize("proposed", [True, False])
def test_what_is_recomputed_only_if_asked_for_isnt_automatic(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    proposed: bool,
) -> None:
    """Would catch: "Headrace does it by itself" of a restatement older than `restate_within`, while
    readers keep the old numbers until somebody recomputes them."""
    planned = Mending(acts=(RepairAction.BUILD,))
    monkeypatch.setattr(repair_actions, "find_repair", lambda *_: planned)
    monkeypatch.setattr(incidents, "partitions_of", lambda *_: [("sales", "2026-03-01")])
    incident = Incident(
        id=1, kind="restatement", state="open", node="sales", partition="2026-03-01",
        summary="restated: 3 rows removed", owner="tills", began_at=0, opened_at=0,
        detail="", columns=(), fingerprint="1", confidence=0.9, evidence=(), updated_at=0,
        affected=Affected(assets=("takings",), consumers=("tax",), partitions=("2026-03-01",)),
    )  # fmt: skip
    with Store.open(tmp_path, Settings(name="t"), create=True) as store, store.write(None) as tx:
        tx.execute(
            "insert into partition (node, partition, state, stale, proposed, since, revision)"
            " values ('takings', '2026-03-01', 'published', 1, ?, 0, 1)",
            (int(proposed),),
        )
        compiled = Compiled(project=Project(settings=Settings(name="t")), nodes={}, order=())
        repair = repair_actions.repair_of(tx, compiled, incident, RepairForecast(tx, compiled, 0))
    assert repair is not None
    assert (repair.command, repair.automatic) == ("headrace fix INC-1", not proposed)
