"""What the advisor proves, tried on random rows in DuckDB; `make advice` runs more of it."""

from __future__ import annotations

import random

import advice_lab
import project_breaker
import pytest

QUERIES = 200
PROJECTS = 3


@pytest.mark.long
def test_no_proof_is_wrong() -> None:
    """Would catch: a rewriting that is said to be proven, and gives other rows for some data."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    outcome = advice_lab.run(seed, QUERIES)
    assert outcome.wrong == []
    assert sum(outcome.proven.values()) > QUERIES // 4


@pytest.mark.long
def test_redundant_queries_are_recognised() -> None:
    """Would catch: a rule that became so careful that it proves nothing any more."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    outcome = advice_lab.run_redundant(seed, QUERIES)
    assert outcome.wrong == []
    assert outcome.recall >= 0.8


@pytest.mark.long
def test_no_advice_on_projects_is_wrong() -> None:
    """Would catch: a column, copy or partition that is said not to matter, and does."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    outcome = project_breaker.run(seed, PROJECTS)
    assert outcome.wrong == []
    assert outcome.recall >= 0.5  # of few; `make advice` demands 0.8 of many
    assert outcome.claims
