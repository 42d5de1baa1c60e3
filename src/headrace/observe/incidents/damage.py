"""Evidence of files of the lake that aren't there as they were published."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.lake import catalog
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.obligations import Scene
from headrace.observe.watched import WHOLE
from headrace.store.database import Transaction
from headrace.store.queries import lake_files, publications

KIND = "lake"
EXACT_NATS = 12.0
FILES_MAX = 500
"""At most so many damaged files are put down one by one."""


def gather(tx: Transaction, scene: Scene) -> Iterator[tuple[Evidence, str | None]]:
    """What is wrong with files that readers see now: evidence for each partition in them, and the attempt that published it."""
    looks = {one.file_id: one for one in lake_files.damaged(tx)[:FILES_MAX]}
    if not looks:
        return
    files = [one for one in catalog.current(tx, looks) if one.table in scene.declared.nodes]
    for name in dict.fromkeys(one.table for one in files):
        own = {one.id: one for one in files if one.table == name}
        for number, held in sorted(catalog.partitions_of_files(tx, name, own.keys()).items()):
            file, seen = own[number], looks[number]
            for key in sorted(held) if held is not None else [WHOLE]:
                shown = publications.current(tx, name, key)
                evidence = Evidence(
                    id=f"{KIND}:{number}@{key}", node=name, partition="" if key == WHOLE else key, family=Family.FILE,
                    kind=CauseKind.DATA_CORRUPTED.value, expected=f"{file.path}, {file.size_bytes:,} bytes",
                    observed=f"the file {seen.wrong}", strength=EXACT_NATS, at_us=seen.wrong_since or seen.looked_at,
                )  # fmt: skip
                yield evidence, None if shown is None else f"{shown.epoch}.{shown.n}"
