"""Any text at all: `analyse` and `resolve` answer, and soon. A failing example prints its seed."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_cases import FIXTURES

from headrace.sql.analysis import analyse
from headrace.sql.parsing import FORBIDDEN, parse
from headrace.sql.partitions import not_separable_because
from headrace.sql.queries import BoundQuery, resolve

SCHEMAS = {
    "t": (("a", "INTEGER"), ("s", "VARCHAR"), ("d", "DATE")),
    "u": (("a", "INTEGER"), ("x", "DOUBLE")),
}
WORDS = tuple(
    """select from where group by having qualify order limit offset with recursive as union all except intersect distinct on
join left right full cross semi anti asof natural positional using lateral unnest values case when then else end cast try_cast
over partition rows between and or not in exists is null like ilike count sum max avg row_number coalesce struct map interval
t u a s d x q * ( ) [ ] { } , . ; : :: -> ->> || = <> < > + - / // % $self $partition_start $p ? 1 2.5 'x' "y" date current_date
exclude replace rename columns pivot unpivot for filter within ignore nulls range generate_series read_csv lambda at version
true false default window tablesample rollup cube grouping sets all any some table from_ describe""".split()  # noqa: SIM905  (a list of 150 strings is no better to read)
)


def _corpus() -> list[str]:
    text = "\n\n".join(
        (FIXTURES / name).read_text(encoding="utf-8")
        for name in ("corpus.sql", "inputs.txt", "lineage.txt", "separable.txt")
    )
    return [line for line in text.splitlines() if line and line[0] not in "#=-"]


def _understand(text: str) -> None:
    analysis = analyse(text, file="x.sql", line=1, name="x")
    assert analysis.usable != bool(analysis.problems)
    resolve(analysis, SCHEMAS)
    if (
        analysis.usable
    ):  # without the safety net of `resolve`, so that what it would catch is seen here
        tree = parse(analysis.sql).tree  # every node, also those below names
        assert not any(isinstance(node, FORBIDDEN) for node in tree.walk())
        not_separable_because(BoundQuery(analysis, SCHEMAS, {}), analysis, "a", ("t",))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    """Files hold anything; nothing of it may raise."""
    _understand(text)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_any_words_of_sql(text: str) -> None:
    """Nearly right statements reach code that random text never does."""
    _understand("select " + text)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(_corpus()),
    st.integers(0, 400),
    st.integers(0, 40),
    st.sampled_from([*WORDS, "", "\0", "\u202e", "'", '"', "/*"]),
)
def test_damaged_statements(text: str, at: int, removed: int, put: str) -> None:
    """A statement while somebody types it."""
    _understand(f"{text[:at]} {put} {text[at + removed :]}")
