"""Which names are those of one person, for decisions that two people must take.

The user `ana` of the operating system is recorded as `ana@host`, and `user:ana` who signed in to
the server has the same name in `access.yaml`: both have its roles. Names of a provider are the same
person's only where `access.yaml` says so (`same_person`).
"""

from __future__ import annotations

from collections.abc import Collection

from headrace.model.access import AccessRules

USER = "user:"


def names_of_people(rules: AccessRules | None, names: Collection[str]) -> frozenset[str]:
    """Return names with all other names of the same people."""
    known = {*names, *(USER + name.rpartition("@")[0] for name in names if _is_local(name))}
    for _ in rules.people if rules is not None else ():  # a rule may join those of another one
        for person in rules.people if rules is not None else ():
            if known.intersection(person.names):
                known.update(person.names)
    return frozenset(known)


def _is_local(name: str) -> bool:
    """Whether a name is a user of the operating system, as NAME@HOST."""
    return ":" not in name and "@" in name
