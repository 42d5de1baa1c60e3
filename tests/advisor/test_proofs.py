"""What the advisor proves, tried on random rows in DuckDB; `make advice` runs more of it."""

from __future__ import annotations

import random

import advice_lab

QUERIES = 200


def test_no_proof_is_wrong() -> None:
    """Would catch: a rewriting that is said to be proven, and gives other rows for some data."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    outcome = advice_lab.run(seed, QUERIES)
    assert outcome.wrong == []
    assert sum(outcome.proven.values()) > QUERIES // 4


def test_redundant_queries_are_recognised() -> None:
    """Would catch: a rule that became so careful that it proves nothing any more."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    outcome = advice_lab.run_redundant(seed, QUERIES)
    assert outcome.wrong == []
    assert outcome.recall >= 0.8
