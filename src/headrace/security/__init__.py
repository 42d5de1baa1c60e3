"""Who did what, when and why: the append-only, hash-chained audit trail (`security.audit`), and redaction of secrets."""

from headrace.security.audit import Action, ActionOutcome, Actor, ActorType, AuditEvent, Object, Verification, append, append_all, verify

__all__ = ["Action", "ActionOutcome", "Actor", "ActorType", "AuditEvent", "Object", "Verification", "append", "append_all", "verify"]
