"""The glossary: the words that Headrace uses, in code, commands, pages and messages alike."""

from __future__ import annotations

from scripts.reference_pages.markdown import page as written
from scripts.reference_pages.markdown import table

DECLARED = {
    "project": "A folder with `headrace.toml` and the declarations below it.",
    "source": (
        "Data that arrives from outside. It has an owner, often a vendor, and an expected time of"
        " arrival."
    ),
    "asset": (
        "A table or a set of files that the project computes. It has code (SQL, Python or a"
        " command) and an owner."
    ),
    "asset code": "The query, function or command that computes an asset.",
    "consumer": (
        "A report, dashboard, model or person that reads assets and says by when it needs them."
    ),
    "owner": "A team or vendor with contacts. Every source, asset and consumer has exactly one.",
    "domain, data product": (
        "A group of assets with one accountable owner and a public interface: its contracts."
    ),
    "contract": "The declared schema and quality of a source or an asset, as an ODCS v3 document.",
    "check": (
        "One testable statement about data. A failed *blocking* check prevents publication, a"
        " failed *warning* check doesn't."
    ),
    "reference": "An input that is read as a whole, in its newest version, whatever the partition.",
    "promise": (
        "A declared deadline (`due`) or age (`max_age`) of a consumer. Other tools call it a"
        " service level objective (SLO)."
    ),
    "pool": "A concurrency pool: a named number of slots that attempts share.",
    "environment": (
        "A separate place to build changed code. It reads what is unchanged from production."
    ),
}
DATA = {
    "partition": (
        "The unit of data that is computed and published: a time interval, a key, both, or `*` for"
        " the whole table."
    ),
    "interval": (
        "`[start, end)` in the asset's time zone. The key of a time partition is its start."
    ),
    "delivery": (
        "One arrival of data at a source, with its interval, time of arrival, schema and content"
        " hash."
    ),
    "publication": "An audited partition that was made visible to readers, in one lake snapshot.",
    "verdict": "The result of an audit: `passed`, `warned`, `held`, `rejected` or `unchecked`.",
    "held": (
        "Not published, although no check failed: somebody must decide first (changed columns, an"
        " anomaly)."
    ),
    "rejected": "Not published, because a blocking check failed.",
    "quarantine": "Where held and rejected data waits, readable, with the reason.",
    "exception": "Held or rejected data that a person accepted and released for publication.",
    "unpublish": (
        "To remove a published partition from what readers see. Its state is then `withdrawn`."
    ),
    "stale": "Published from older inputs or code than are current.",
    "restatement": "A source delivers other rows for an interval that was already published.",
    "lake snapshot": "The state of all tables after one publication. Readers see one snapshot.",
    "snapshot table": "A materialization that keeps the history of rows (SCD 2).",
    "overlay": "What a backfill has computed and not yet published.",
    "lineage": "Which columns a column comes from and goes into.",
    "profile": "Statistics of a partition's columns, taken during the audit.",
    "drift": "A delivery's columns differ from the expected ones.",
    "anomaly": "A value that is improbable given the asset's own history.",
    "separable": (
        "Of SQL: it gives the same rows for several partitions at once as for each partition alone."
    ),
    "export": "A publication written for a consumer: a file or a database table.",
}
WORK = {
    "plan": (
        "What a change, a run or a backfill will do, shown before it runs. Its `plan_id` is a hash"
        " of its decisions."
    ),
    "run": "Requested or scheduled work. It consists of attempts.",
    "attempt": "One try to compute one asset for a range of partitions.",
    "backfill": (
        "A planned recomputation of past partitions. It runs alongside production and publishes at"
        " once or in steps."
    ),
    "promotion": "Publishing in production what an environment has computed.",
    "lease": "The right to lead, held by one process at a time and renewed while it works.",
    "epoch": "The number of a lease. It only grows, and every transaction checks it.",
    "claim": "The right of one attempt to publish a partition.",
    "fence": "To prevent a process or attempt that was replaced from changing anything.",
    "event log": "The core's write-ahead record, from which the state can be computed again.",
    "goodput": "Rows and bytes that were published and right, per second.",
    "waste": "Work whose result was never published, or was published and wrong.",
}
TRUTH = {
    "obligation": (
        "One consumer and one interval, with its deadline. It is met, met late, or not met."
    ),
    "waive": "To let an obligation go: nobody waits for that interval any more.",
    "sound": (
        "Complete, computed from sound inputs, without a failed blocking check, and not named by a"
        " known incident."
    ),
    "served": "The consumer has sound data for every obligation that is due.",
    "late": "An obligation that is due is neither met nor waived, or the data is too old.",
    "wrong": "What a reader gets now isn't sound.",
    "at risk": "Served now, with a known reason why that will end.",
    "never": "The consumer hasn't been served once.",
    "unknown": "Nothing was observed for longer than usual, so the state can't be known.",
    "backlog": "Older obligations that are neither met nor waived.",
    "honest availability": (
        "The share of minutes in which the consumer was served or at risk, as known now."
    ),
    "classic uptime": "The share of started runs that succeeded, as other tools count it.",
    "delay ledger": (
        "For one obligation: the segments of time between the interval's end and the moment its"
        " data could be read."
    ),
    "incident": "One cause, with evidence, owner, affected assets and consumers, and a timeline.",
    "evidence": "An observation that supports the cause of an incident.",
    "repair": "The command that ends an incident.",
    "audit trail": "The hash-chained record of who did what, when and why.",
    "digest": "The daily mail to an owner.",
    "as of (`--at`)": "At a point in time in the past.",
}
SECTIONS = {
    "Declarations": DECLARED,
    "Data": DATA,
    "Work": WORK,
    "Service levels and incidents": TRUTH,
}


def page() -> str:
    """The page: a table of words for each subject."""
    lead = "One word means one thing, in commands, JSON, pages and messages alike."
    parts = [
        [f"## {title}", "", *table(("word", "meaning"), sorted(words.items()))]
        for title, words in SECTIONS.items()
    ]
    return written("Glossary", lead, *parts)
