"""What goes wrong with judging itself is an incident, too: Headrace's own."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import HEADRACE, Cause, CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.gathered import Gathered
from headrace.observe.incidents.keeping import IncidentUpdates
from headrace.store.database import Transaction

KIND = "judging"
EXACT_NATS = 12.0
SAID_MAX = 300


def keep(tx: Transaction, keeping: IncidentUpdates, error: Exception, now: int) -> None:
    """Keep it that causes couldn't be judged. It is over with the next judgement that can be made."""
    what = type(error).__name__
    seen = Evidence(
        id=f"{KIND}:{what}", node=HEADRACE, family=Family.ERROR, kind=CauseKind.CODE_ERROR.value, expected="causes are judged",
        observed=f"{what}: {error}"[:SAID_MAX], strength=EXACT_NATS, at_us=now, detail=what,
    )  # fmt: skip
    result = Gathered()
    result.add(seen)
    result.write(tx, now)
    cause = Cause(
        kind=CauseKind.CODE_ERROR, node=HEADRACE, detail=what, summary="causes can't be judged: what waits isn't put down to anything",
        began_us=now, confidence=1.0, own=(seen.id,), explains=(seen.id,),
    )  # fmt: skip
    keeping.keep([cause], {seen.id: seen})
