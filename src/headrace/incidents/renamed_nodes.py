"""Moves incidents and their evidence to the new name of a renamed asset.

Evidence under a name that isn't declared ends, so an incident would count as restored while its
data is still held. Summaries, timelines and the text of evidence keep the words of their time.
"""

from __future__ import annotations

import re

import msgspec

from headrace.incidents.diagnosis.evidence import Evidence
from headrace.incidents.updates import with_node
from headrace.model.causes import HEADRACE
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import Happened, Incident
from headrace.store.transaction import Transaction

_NAMING = re.compile(r"(?P<kind>act:\w+:|version:\d+:)(?P<node>[^@]+)(?P<rest>@.*)?", re.DOTALL)
"""Ids of evidence that name an asset: `act:paused:clean@1741158003737995`, `version:3:clean`."""


def rename_node(tx: Transaction, node: str, new_name: str, now: int) -> None:
    """Move everything known about incidents of a node; the new name must be unused.

    Timelines of open incidents say so, because earlier lines have the old name.
    """
    for id_, content in stored_evidence.all_at(tx, node):
        evidence = msgspec.msgpack.decode(content, type=Evidence)
        renamed = msgspec.structs.replace(
            evidence, id=_renamed_id(id_, node, new_name), node=new_name
        )
        stored_evidence.rename(tx, id_, renamed.id, renamed.node, msgspec.msgpack.encode(renamed))
    for incident in stored.naming(tx, node):
        stored.rewrite(tx, _renamed(incident, node, new_name))
        if incident.state != "resolved":
            line = f"the asset {node} was renamed: it is {new_name} from now on"
            stored.happened(tx, incident.id, [Happened(now, line, HEADRACE)])
    stored.rename_places(tx, node, new_name)


def _renamed_id(id_: str, node: str, new_name: str) -> str:
    named = _NAMING.fullmatch(id_)
    if named is None or named["node"] != node:
        return id_
    return f"{named['kind']}{new_name}{named['rest'] or ''}"


def _renamed(incident: Incident, node: str, new_name: str) -> Incident:
    assets = (new_name if name == node else name for name in incident.affected.assets)
    affected = msgspec.structs.replace(incident.affected, assets=tuple(assets))
    evidence = tuple(
        msgspec.structs.replace(item, id=_renamed_id(item.id, node, new_name))
        for item in incident.evidence
    )
    renamed = msgspec.structs.replace(incident, affected=affected, evidence=evidence)
    return with_node(renamed, new_name) if incident.node == node else renamed
