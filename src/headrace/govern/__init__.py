"""Who did what, when and why: the append-only, hash-chained audit trail (`govern.audit`).

Secrets, roles, masking and retention come here when they are built.
"""

from headrace.govern.audit import Action, Actor, ActorType, Event, Object, Outcome, Verification, append, append_all, verify

__all__ = ["Action", "Actor", "ActorType", "Event", "Object", "Outcome", "Verification", "append", "append_all", "verify"]
