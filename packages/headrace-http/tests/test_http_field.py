"""The field `http:` of a source: what may be said, and each wrong thing at its line."""

from __future__ import annotations

import pytest
from modellab import Parse

from headrace.model.connectors import json_path
from headrace_http.fields import rate_of

CANARY = "canary-of-http-fields"
GOOD = """
source: api
owner: acme
partition: day
every: 6h
http:
  url: https://api.example.com/v1/{date:%Y/%m/%d}
  method: POST
  records: $.data["odd key"].items
  headers: {Authorization: "Bearer ${TOKEN}", X-Key: "secret://file/key"}
  params: {until: "{end:%Y-%m-%dT%H:%M:%S%z}", kind: [a, b], n: 3, deep: true}
  body: {query: {day: "{date:%j}"}}
  page: {by: cursor, parameter: after, next: $.meta.next, size: 100, size_parameter: limit, pages_max: 5}
  rate_limit: 5/s
  timeout: 30s
  retries: 0
"""


def test_everything_that_may_be_said(parse: Parse) -> None:
    """Would catch: a documented field that is refused, or lost on the way."""
    declared = parse("sources/orders.yaml", GOOD)
    assert declared.problems == ()
    (source,) = declared.sources
    assert source.every == "6h"
    assert source.connector["http"]["page"]["next"] == "$.meta.next"
    assert source.connector["http"]["params"]["kind"] == ["a", "b"]


@pytest.mark.parametrize(
    ("http", "problem"),
    [
        ("ftp://x/y", "wrong_value"),
        ("[]", "wrong_type"),
        ("{}", "missing_field"),
        ("{url: x}", "wrong_value"),
        ("{url: 'https://x/y#z'}", "wrong_value"),
        ("{url: 'https://x', method: DELETE}", "wrong_value"),
        ("{url: 'https://x', body: {a: 1}}", "conflicting_fields"),
        ("{url: 'https://x', method: POST, body: 7}", "wrong_type"),
        ("{url: 'https://x', records: items}", "wrong_value"),
        ("{url: 'https://x', records: '$.a[0]'}", "wrong_value"),
        ("{url: 'https://x', headers: {'a b': c}}", "wrong_type"),
        ("{url: 'https://x', headers: {a: 7}}", "wrong_type"),
        ('{url: "https://x", headers: {a: "b\\r\\nc: d"}}', "wrong_type"),
        ("{url: 'https://x', params: {a: {b: c}}}", "wrong_type"),
        ("{url: 'https://x', rate_limit: fast}", "wrong_value"),
        ("{url: 'https://x', rate_limit: 0/s}", "wrong_value"),
        ("{url: 'https://x', timeout: soon}", "bad_duration"),
        ("{url: 'https://x', retries: -1}", "wrong_value"),
        ("{url: 'https://x', retry: 1}", "unknown_field"),
        ("{url: 'https://x', page: {}}", "missing_field"),
        ("{url: 'https://x', page: {by: magic}}", "wrong_value"),
        ("{url: 'https://x', page: {by: cursor}}", "wrong_value"),
        ("{url: 'https://x', page: {by: page, end: 500}}", "wrong_value"),
        ("{url: 'https://x', page: {by: page, has_more: more}}", "wrong_value"),
        ("{url: 'https://x', page: {by: page, next: $.a}}", "conflicting_fields"),
        ("{url: 'https://x', page: {by: link, parameter: p}}", "conflicting_fields"),
        ("{url: 'https://x', page: {by: page, size: 0}}", "wrong_value"),
        ("{url: 'https://x', page: {by: page, size_parameter: n}}", "wrong_value"),
        ("{url: 'https://x/{date:%Y}'}", "conflicting_fields"),
    ],
)
def test_each_wrong_thing_is_said_at_its_line(parse: Parse, http: str, problem: str) -> None:
    """Would catch: a mistake that is only found by the server, at night."""
    declared = parse("sources/orders.yaml", f"source: api\nowner: acme\nhttp: {http}\n")
    assert [f"{problem.code} {problem.place.line}" for problem in declared.problems] == [
        f"{problem} 3"
    ]


@pytest.mark.parametrize("end", ["410", "'404'"])
def test_the_only_status_that_ends_pages_is_named(parse: Parse, end: str) -> None:
    """Would catch: `a whole number from 404 to 404`."""
    http = f"{{url: 'https://x', page: {{by: page, end: {end}}}}}"
    declared = parse("sources/orders.yaml", f"source: api\nowner: acme\nhttp: {http}\n")
    (problem,) = declared.problems
    assert "the number 404" in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize(
    ("http", "problem"),
    [
        ("https://x/all.json", "conflicting_fields"),
        ("'https://x/{date:%Q}'", "wrong_value"),
        ("'https://x/{date:}'", "wrong_value"),
    ],
)
def test_an_interval_must_be_asked_for_by_its_date(parse: Parse, http: str, problem: str) -> None:
    """Would catch: each day filled with the same answer, because nothing says which day is asked
    for.
    """
    declared = parse(
        "sources/orders.yaml", f"source: api\nowner: acme\npartition: day\nhttp: {http}\n"
    )
    assert [problem.code for problem in declared.problems] == [problem]


@pytest.mark.parametrize("header", ["Authorization", "X-Key"])
@pytest.mark.parametrize(
    "value", ["secret://chest/{0}", "secret://{0}", "Bearer secret://env/{0}", "secret://env/"]
)
def test_a_reference_to_a_secret_that_cant_be_resolved_is_refused(
    parse: Parse, header: str, value: str
) -> None:
    """Would catch: `secret://chest/x`, a kind that doesn't exist, is found out at night; a
    reference that is sent as it is written."""
    text = value.format(CANARY)
    declared = parse(
        "sources/orders.yaml",
        f"source: api\nowner: acme\nhttp: {{url: 'https://x', headers: {{{header}: '{text}'}}}}\n",
    )
    (problem,) = declared.problems
    assert problem.code == "literal_secret"
    assert "secret://env/NAME, secret://file/PATH or secret://keyring/SERVICE/NAME" in (
        problem.hint or ""
    )
    assert CANARY not in str(declared.problems)
    if "chest" in value:
        assert "there is no kind of secret 'chest'" in problem.message


@pytest.mark.parametrize(
    "http",
    [
        f"{{url: 'https://x', headers: {{Authorization: 'Bearer {CANARY}'}}}}",
        f"{{url: 'https://x', params: {{api_key: {CANARY}}}}}",
        f"'https://x/?token={CANARY}'",
        f"'https://me:{CANARY}@x/'",
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(parse: Parse, http: str) -> None:
    """Would catch: a token in a file that goes to the repository, or in the message about it."""
    declared = parse("sources/orders.yaml", f"source: api\nowner: acme\nhttp: {http}\n")
    assert [problem.code for problem in declared.problems] == ["literal_secret"]
    assert CANARY not in str(declared.problems)


def test_paths_and_rates() -> None:
    """Would catch: a path read in another way than it is written."""
    assert json_path("$") == ()
    assert json_path("$.a['b c'].d") == ("a", "b c", "d")
    assert [
        json_path(text) for text in ("", "a", "$.", "$..a", "$.a[*]", "$.a b", "$" + ".a" * 21)
    ] == [None] * 7
    assert rate_of("100/m") == (100, 60.0)
    assert [rate_of(text) for text in ("5", "5/d", "-1/s", "1e3/s", "")] == [None] * 5
