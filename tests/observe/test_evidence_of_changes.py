"""Evidence of what a new version changed."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.incidents.evidence import changes
from headrace.model import Settings
from headrace.plan import Compiled, compile_project
from headrace.store import Store

COLUMNS = "id, hash, manifest, compiled, applied_at, actor"
NAMES = [f"s{number}" for number in range(9)]


def written(root: Path, folder: str) -> Compiled:
    (root / "sources").mkdir(parents=True, exist_ok=True)
    (root / "headrace.toml").write_text('[project]\nname = "lab"\ntimezone = "UTC"\n')
    (root / "owners.yaml").write_text("acme: {kind: vendor}\n")
    for name in NAMES:
        files = f"{folder}/{name}_{{date:%Y-%m-%d}}.csv"
        text = f"source: {name}\nowner: acme\npartition: day\nfiles: {files}\n"
        (root / f"sources/{name}.yaml").write_text(text)
    result = compile_project(root).compiled
    assert result is not None
    return result


def test_evidence_comes_in_the_same_order_each_time(tmp_path: Path) -> None:
    """Would catch: sources that were moved together in the order of a set, another each process."""
    store = Store.open(tmp_path / "state", Settings(name="t"), create=True)
    with store.write(None) as tx:
        for number, folder in ((1, "landing"), (2, "other")):
            compiled = msgspec.msgpack.encode(written(tmp_path / "lab", folder))
            tx.execute(
                f"insert into version ({COLUMNS}) values (?, ?, '{{}}', ?, ?, 'ann')",
                (number, str(number), compiled, number),
            )
        result, newest = changes.gather(tx, 1)
    assert newest == 2
    assert [item.node for item in result] == NAMES
