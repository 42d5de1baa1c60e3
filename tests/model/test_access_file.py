"""`access.yaml`: what it declares, and every mistake with its line, all at once."""

from __future__ import annotations

from datetime import date

from modellab import Load, Parse

from headrace.model.access import Forbid, Grant, Permission, Role, SamePerson, Scope

GOOD = """\
- {role: operator, to: [user:ana, "group:ops"], domain: finance, env: prod, until: 2027-03-01}
- {role: viewer, to: token:ci}
- {forbid: read, to: [group:interns], column: orders.IBAN}
"""


def test_rules_are_read_with_their_lines(parse: Parse) -> None:
    """Would catch: a rule that is lost, or that says another line in `access explain`."""
    declared = parse("access.yaml", GOOD)
    assert declared.problems == ()
    assert declared.access is not None
    assert declared.access.grants == (
        Grant(
            role=Role.OPERATOR,
            to=("user:ana", "group:ops"),
            scope=Scope(domain=("finance",), env=("prod",)),
            until=date(2027, 3, 1),
            line=1,
        ),
        Grant(role=Role.VIEWER, to=("token:ci",), line=2),
    )
    assert declared.access.forbids == (
        Forbid(permission=Permission.READ, to=("group:interns",), columns=("orders.iban",), line=3),
    )


def test_each_mistake_is_reported_at_its_line(parse: Parse) -> None:
    """Would catch: the first mistake hiding the others, or a rule that is applied in part."""
    text = """\
- {role: operater, to: [user:ana]}
- {role: viewer}
- {role: viewer, to: [ana, "user:", "robot:x", "user:a b"]}
- {role: viewer, to: [user:ana], until: tomorrow, colour: red}
- {forbid: everything, to: [user:ana]}
- {forbid: operate, to: [user:ana], column: orders.iban}
- {forbid: read, to: [user:ana], column: iban}
- 7
- {to: [user:ana]}
"""
    declared = parse("access.yaml", text)
    assert [(problem.code, problem.place.line) for problem in declared.problems] == [
        ("wrong_value", 1),
        ("missing_field", 2),
        *[("wrong_value", 3)] * 4,
        ("unknown_field", 4),
        ("bad_time", 4),
        ("wrong_value", 5),
        ("wrong_value", 6),
        ("wrong_value", 7),
        ("wrong_type", 8),
        ("missing_field", 9),
    ]
    assert all(problem.hint for problem in declared.problems)
    assert declared.access is not None
    assert declared.access.grants == () and declared.access.forbids == ()
    for document in ("role: viewer\n", "7\n"):
        problems = parse("access.yaml", document).problems
        assert [problem.code for problem in problems] == ["wrong_type"]


def test_names_of_one_person_and_their_mistakes(parse: Parse) -> None:
    """Would catch: a rule `same_person` that is lost, joins groups, or fails without its line."""
    text = """\
- {same_person: [user:ana, "user:248@login.example.com", user:ana]}
- {same_person: [user:ana]}
- {same_person: [user:ana, user:ana]}
- {same_person: [user:ana, group:ops, "token:ci", bo]}
- {same_person: [user:ana, user:bo], role: viewer}
- {same_person: {user: ana}}
- {same_person: []}
"""
    declared = parse("access.yaml", text)
    problems = [(item.place.line, item.message, item.hint) for item in declared.problems]
    assert declared.access is not None
    first = SamePerson(names=("user:ana", "user:248@login.example.com"), line=1)
    assert declared.access.people[0] == first
    one = (
        "a person with one name needs no rule",
        "write two names: [user:ana, user:SUB@ISSUER]",
    )
    assert problems == [
        (2, *one),
        (3, *one),
        *(
            (4, f"`{name}` is no user", "write user:NAME")
            for name in ("group:ops", "token:ci", "bo")
        ),
        (5, "unknown field `role` in a rule", "known here: same_person"),
        (
            6,
            "`same_person` must be a list of texts, not a mapping",
            "write same_person: [a, b]",
        ),
        (7, *one),
    ]


def test_names_that_no_node_has_are_problems(load: Load) -> None:
    """Would catch: a misspelt domain, which would forbid nothing without a word."""
    files = {
        "access.yaml": """\
- {role: viewer, to: [user:ana], domain: finanse, owner: cora, tag: weekly, env: stage}
- {forbid: read, to: [user:ana], column: order.iban}
- {role: viewer, to: [user:ana], domain: finance, owner: core, tag: daily, env: prod}
- {forbid: read, to: [user:ana], column: Orders.iban}
""",
        "owners.yaml": "core: {kind: team}\n",
        "sources/orders.yaml": (
            "{source: orders, owner: core, domain: finance, tags: [daily], files: 'a/*.csv',"
            " partition: '*'}\n"
        ),
    }
    _, problems = load(**files)
    found = [(problem.code, problem.place.line, problem.message) for problem in problems]
    assert found == [
        ("no_admin", 1, "nobody has the role admin without a limit and without an end"),
        ("unknown_scope", 1, "no node has the domain `finanse`"),
        ("unknown_scope", 1, "no node has the owner `cora`"),
        ("unknown_scope", 1, "no node has the tag `weekly`"),
        ("unknown_scope", 1, "there is no environment `stage`"),
        ("unknown_scope", 2, "no source or asset is called `order`"),
    ]


def test_somebody_must_be_able_to_change_the_rules(load: Load) -> None:
    """Would catch: rules that lock everybody out once they are applied."""
    nodes = {
        "owners.yaml": "core: {kind: team}\n",
        "sources/orders.yaml": "{source: orders, owner: core, files: 'a/*.csv', partition: '*'}\n",
    }
    for limit in ("", ", until: 2027-03-01", ", owner: core", ", env: prod"):
        rules = f"- {{role: admin, to: [user:ana]{limit}}}\n"
        _, problems = load(**{"access.yaml": rules}, **nodes)
        assert [problem.code for problem in problems] == (["no_admin"] if limit else [])


def test_a_rule_that_forbids_it_to_every_admin_is_a_problem(load: Load) -> None:
    """Would catch: rules that contradict each other and leave nobody to change them."""
    admins = "- {role: admin, to: [user:ana, user:bo]}\n"
    nodes = {
        "owners.yaml": "core: {kind: team}\n",
        "sources/orders.yaml": "{source: orders, owner: core, files: 'a/*.csv', partition: '*'}\n",
    }
    for forbids, line in (
        ("- {forbid: administer, to: [user:ana, user:bo]}\n", 2),
        ("- {forbid: change, to: [user:ana]}\n- {forbid: change, to: [user:bo]}\n", 3),
        ("- {forbid: change, to: [user:ana]}\n", None),
        ("- {forbid: administer, to: [user:ana, user:bo], env: prod}\n", None),
        ("- {forbid: operate, to: [user:ana, user:bo]}\n", None),
    ):
        _, problems = load(**{"access.yaml": admins + forbids}, **nodes)
        found = [(problem.code, problem.place.line) for problem in problems]
        assert found == ([("no_admin", line)] if line else []), forbids
