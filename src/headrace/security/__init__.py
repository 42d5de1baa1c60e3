"""The append-only, hash-chained audit trail (`security.audit`) and the redaction of secrets."""

from headrace.security.audit import (
    Action,
    ActionOutcome,
    Actor,
    ActorType,
    AuditEvent,
    Object,
    Verification,
    append,
    append_all,
    verify,
)

__all__ = [
    "Action",
    "ActionOutcome",
    "Actor",
    "ActorType",
    "AuditEvent",
    "Object",
    "Verification",
    "append",
    "append_all",
    "verify",
]
