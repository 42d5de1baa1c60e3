"""Contracts of assets: what a body gives must be what is promised, and a promise is broken only in so many words. Pure.

In so many words: with a new major version, and with the consumers named that the change breaks (`headrace.breaks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from headrace.model import Asset, Contract, Problem, Project, Value
from headrace.plan.contracting import ContractChange, VersionLevel, contract_changes, level_of, moved, next_version
from headrace.plan.values import Columns

Users = Callable[[str, list[str]], tuple[list[str], list[str]]]
"""(node, columns) → the assets and the consumers that a change of them reaches."""
_FAMILIES = {
    "DOUBLE": "number", "FLOAT": "number", "DECIMAL": "number", "TIMESTAMP": "moment", "TIMESTAMP WITH TIME ZONE": "moment",
    "TIMESTAMP_S": "moment", "TIMESTAMP_MS": "moment", "TIMESTAMP_NS": "moment",
}  # fmt: skip


class ContractBreak(Value, kw_only=True):
    """A contract whose file takes back what it promised, without saying so. `hint` is what to write."""

    asset: str
    said: str
    hint: str
    file: str


def not_as_promised(asset: Asset, columns: Columns | None, names: tuple[str, ...] | None, project: Project) -> Iterator[Problem]:
    """Columns that the contract promises and the body doesn't give, or gives in another type; as far as that is known before it runs."""
    contract = project.contracts.get(asset.contract or "")
    if contract is None or names is None:
        return
    given = {name.lower(): name for name in names}
    types = {name.lower(): kind for name, kind in columns or ()}
    for column in contract.columns:
        if column.name.lower() not in given:
            yield _problem(contract, f"the contract of `{asset.name}` promises `{column.name}`, which its body doesn't give")
        elif column.type and not alike(column.type, types.get(column.name.lower(), column.type)):
            gives = types[column.name.lower()]
            yield _problem(contract, f"the contract of `{asset.name}` promises `{column.name}` as {column.type}, its body gives {gives}")


def _problem(contract: Contract, message: str) -> Problem:
    hint = "give it in the body, or take it out of the contract with a new major version"
    return Problem(code="contract_broken", message=message, hint=hint, place=contract.place)


def alike(promised: str, given: str) -> bool:
    """Whether a type is what is promised: whole numbers of any width are integers, decimals are numbers, and what isn't known may be."""
    return given.upper() in ("UNKNOWN", "NULL") or _family(promised) == _family(given)


def _family(kind: str) -> str:
    plain = re.sub(r"\(.*", "", kind.upper()).strip()
    return "integer" if plain.endswith("INT") or plain in ("INTEGER", "UINTEGER") else _FAMILIES.get(plain, plain)


def broken(old: Project | None, new: Project, users: Users) -> list[ContractBreak]:
    """The contracts of assets that can't be put into force as they are."""
    breaks = []
    for asset in new.assets.values():
        was, now = _contract(old, asset.name), _contract(new, asset.name)
        if was is not None and now is not None and (contract_break := _broken(asset.name, was, now, users)) is not None:
            breaks.append(contract_break)
    return breaks


def _contract(project: Project | None, name: str) -> Contract | None:
    asset = project.assets.get(name) if project else None
    return project.contracts.get(asset.contract or "") if project and asset else None


def _broken(name: str, was: Contract, now: Contract, users: Users) -> ContractBreak | None:
    changes = contract_changes(was, now)
    if level_of(changes) < VersionLevel.MAJOR:
        return None
    taken_back = [change for change in changes if change.level is VersionLevel.MAJOR]
    consumers = _consumers(name, taken_back, users)
    text = "; ".join(change.said for change in taken_back[:5])
    if moved(was.version, now.version) < VersionLevel.MAJOR:
        whom = f", and breaks {', '.join(consumers)}" if consumers else ""
        return ContractBreak(
            asset=name,
            said=f"the contract of `{name}` takes back what {was.version} promised ({text}){whom}",
            hint=f"write version: {next_version(was.version, VersionLevel.MAJOR)}{_naming(consumers, now)}",
            file=now.place.file,
        )
    unnamed = [consumer for consumer in consumers if consumer not in now.breaks]
    if not unnamed:
        return None
    text = f"the contract of `{name}` {now.version} breaks {', '.join(unnamed)} without naming them ({text})"
    return ContractBreak(asset=name, said=text, hint=_naming(consumers, now).removeprefix(", and "), file=now.place.file)


def _consumers(name: str, changes: list[ContractChange], users: Users) -> list[str]:
    columns: Mapping[str, None] = dict.fromkeys(change.column for change in changes if change.column)
    return users(name, list(columns))[1] if columns else []


def _naming(consumers: list[str], now: Contract) -> str:
    missing = [consumer for consumer in consumers if consumer not in now.breaks]
    listed = ", ".join(dict.fromkeys([*now.breaks, *consumers]))
    return f", and customProperties: [{{property: headrace.breaks, value: [{listed}]}}]" if missing else ""
