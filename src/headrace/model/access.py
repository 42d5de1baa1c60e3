"""Who may do what: permissions, roles, and the rules of `access.yaml`."""

from __future__ import annotations

import enum
from datetime import date

import msgspec

ACCESS_FILE = "access.yaml"


class Permission(enum.StrEnum):
    """What a command needs. Each command needs exactly one permission."""

    SEE = "see"
    """Names, states, plans, runs, logs and incidents; no rows of data."""
    READ = "read"
    """Rows of published and held data."""
    REVEAL = "reveal"
    """Values of classified columns. No command needs it: without it they are left out."""
    OPERATE = "operate"
    """Run, retry, cancel, pause, back fill, repair, receive deliveries."""
    DECIDE = "decide"
    """Release held data, take back publications, waive obligations."""
    APPROVE = "approve"
    """Approve or reject a plan that another person has asked for."""
    CHANGE = "change"
    """Apply changed files, accept new names of columns."""
    AUDIT = "audit"
    """The audit trail."""
    ADMINISTER = "administer"
    """The state, its backups, API tokens; serve."""


class Role(enum.StrEnum):
    """A set of permissions with a name."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"
    AUDITOR = "auditor"
    ADMIN = "admin"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.SEE, Permission.READ}),
    Role.OPERATOR: frozenset({Permission.SEE, Permission.OPERATE}),
    Role.OWNER: frozenset(
        {
            Permission.SEE,
            Permission.READ,
            Permission.REVEAL,
            Permission.OPERATE,
            Permission.DECIDE,
            Permission.APPROVE,
            Permission.CHANGE,
        }
    ),
    Role.AUDITOR: frozenset({Permission.SEE, Permission.AUDIT}),
    Role.ADMIN: frozenset(Permission),
}
"""Role → its permissions. An operator repairs data without reading it."""

SUBJECT_KINDS = ("user", "group", "token")
"""The kinds of subjects in `to:`, as in `user:ana`."""


SCOPE_FIELDS = ("domain", "owner", "tag", "env")


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is limited to. Empty fields limit nothing; a node must match all others."""

    domain: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @property
    def of_nodes(self) -> bool:
        """Whether the scope depends on the node, and not on the environment alone."""
        return bool(self.domain or self.owner or self.tag)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """`{role: operator, to: [user:ana], domain: finance}`: gives a role to subjects."""

    role: Role
    to: tuple[str, ...]
    scope: Scope = Scope()
    until: date | None = None
    """The last day on which it holds, in the project's time zone."""
    line: int = 1
    """Its line in `access.yaml`."""
    break_glass: int | None = None
    """When a role that somebody took in an emergency ends, in microseconds since 1970 UTC."""
    without: tuple[Permission, ...] = ()
    """Permissions of the role that it doesn't give."""

    def gives(self, permission: Permission) -> bool:
        """Whether it gives a permission, on the nodes that it reaches."""
        return permission in PERMISSIONS[self.role] and permission not in self.without


class BreakGlass(msgspec.Struct, frozen=True, kw_only=True):
    """`{break_glass: operator, to: [group:oncall]}`: a role that they may take in an emergency."""

    role: Role
    to: tuple[str, ...]
    scope: Scope = Scope()
    until: date | None = None
    """The last day on which it may be taken, in the project's time zone."""
    administer: bool = False
    """Whether the role admin then includes `administer`: keys, erasures, tokens, backups."""
    line: int = 1
    """Its line in `access.yaml`."""


class SamePerson(msgspec.Struct, frozen=True, kw_only=True):
    """`{same_person: [user:ana, user:248@login.example.com]}`: names of one person."""

    names: tuple[str, ...]
    line: int = 1
    """Its line in `access.yaml`."""


class Forbid(msgspec.Struct, frozen=True, kw_only=True):
    """`{forbid: read, to: [group:interns], column: customers.iban}`: it overrides every grant."""

    permission: Permission
    to: tuple[str, ...]
    scope: Scope = Scope()
    columns: tuple[str, ...] = ()
    """NODE.COLUMN; with columns, only these columns are forbidden, and not the nodes."""
    line: int = 1
    """Its line in `access.yaml`."""


class AccessRules(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `access.yaml`."""

    grants: tuple[Grant, ...] = ()
    forbids: tuple[Forbid, ...] = ()
    emergencies: tuple[BreakGlass, ...] = ()
    people: tuple[SamePerson, ...] = ()

    @property
    def of_subjects(self) -> list[Grant | Forbid | BreakGlass]:
        """The rules that name subjects in `to:`, in the order of the file."""
        rules: list[Grant | Forbid | BreakGlass] = [*self.grants, *self.forbids]
        rules += self.emergencies
        return sorted(rules, key=lambda rule: rule.line)

    def without_lines(self) -> AccessRules:
        """Return the same rules without their lines, for comparisons."""
        rules = msgspec.structs.asdict(self)
        return AccessRules(
            **{
                field: tuple(msgspec.structs.replace(rule, line=1) for rule in written)
                for field, written in rules.items()
            }
        )
