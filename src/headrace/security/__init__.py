"""Who did what, when and why: the append-only, hash-chained audit trail (`govern.audit`).

Secrets, roles, masking and retention come here when they are built.
"""

from headrace.security.audit import Action, ActionOutcome, Actor, ActorType, AuditEvent, Object, Verification, append, append_all, verify

__all__ = ["Action", "ActionOutcome", "Actor", "ActorType", "AuditEvent", "Object", "Verification", "append", "append_all", "verify"]
