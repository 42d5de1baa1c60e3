"""How sure a cause is: how often causes with the same kind of evidence turned out right in the simulation (`tests/observe/diagnosis`)."""

from __future__ import annotations

from headrace.observe.diagnosis.candidates import CauseCandidate
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules.rule import EXACT_NATS

EXACT = 0.98
ESTIMATED = 0.93
"""Figures that lie outside of all history are now and then of the world."""
REWRITTEN = 0.95
WARNED = 0.95
"""What was published with a warning, and something failed further down along the same columns."""
FAILED = 0.9
"""A body that failed, with nothing odd known about its inputs or itself."""
LATENT = 0.6
UNKNOWN = 0.3


def confidence(candidate: CauseCandidate) -> float:
    """From 0 to 1."""
    if candidate.rule is None:
        return UNKNOWN
    if candidate.latent:
        return LATENT
    if candidate.kind is CauseKind.CODE_ERROR:
        return REWRITTEN if candidate.rewritten else FAILED
    if not candidate.is_held and candidate.symptoms:
        return WARNED
    return EXACT if candidate.own[0].strength >= EXACT_NATS else ESTIMATED


def certainty(confidence: float) -> str:
    """The confidence in a word."""
    return "established" if confidence >= FAILED else "likely" if confidence >= LATENT else "not established"
