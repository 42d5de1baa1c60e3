"""What regulations ask of a project's data, each answered by a query of what is applied and ran.

The words are ours and say in short what is asked; the text of the regulation decides. What Headrace
has no fact of is said to be not covered.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace_docs.exchange.statements import Statement, statement_files
from headrace_docs.responses.description import Description

_ABOVE = (
    "with recursive above(consumer, node) as (select consumer, node from reading union"
    " select above.consumer, edge.reads from above join edge on edge.node = above.node"
    " where edge.mode <> 'depends') "
)
"""What reaches each consumer, directly or through others."""
_MODELS = (
    f"{_ABOVE}, model as (select name from consumer where list_contains(string_split(tags, ', '),"
    " 'model')) "
)
"""The same, and the consumers that train or run a model: they have the tag `model`."""
GDPR = (
    Statement("30(1)(a)", "Who is the controller?", gap="a project names owners of data only."),
    Statement(
        "30(1)(b)",
        "For which purposes is personal data processed?",
        f"{_ABOVE}select distinct consumer.name || ': ' || case when description = '' then"
        " 'no purpose is described' else description end from consumer join above on above.consumer"
        " = consumer.name join field on field.node = above.node where classification is not null"
        " order by 1",
        "A consumer's description is its purpose.",
    ),
    Statement(
        "30(1)(c)",
        "Which categories of personal data are there?",
        "select classification || ': ' || count(*) || ' columns of ' || count(distinct node) ||"
        " ' sources and assets' from field where classification is not null group by"
        " classification order by 1",
        "Categories of persons aren't declared.",
    ),
    Statement(
        "30(1)(d)",
        "Who receives it?",
        f"{_ABOVE}select distinct consumer.name || ', of ' || consumer.owner || coalesce(',"
        " exported to ' || target, '') from consumer join above on above.consumer = consumer.name"
        " join field on field.node = above.node where classification is not null order by 1",
    ),
    Statement(
        "30(1)(e)", "Is it sent to a third country?", gap="places of stores aren't declared."
    ),
    Statement(
        "30(1)(f)",
        "When is it erased?",
        "select distinct node.name || ': ' || coalesce(retain, 'kept without a limit') from node"
        " join field on field.node = node.name where classification is not null order by 1",
        "`headrace erase` erases a person's rows, with a certificate.",
    ),
    Statement(
        "30(1)(g)",
        "How is it protected?",
        "select node || '.' || name || ': ' || case masked when 'yes' then 'masked for readers"
        " without the right' else 'readable' end from field where classification is not null"
        " order by 1",
    ),
)
BCBS = (
    Statement(
        "1",
        "Governance: who answers for the data, and who changed it?",
        "select 'version ' || version || ' applied by ' || applied_by || ' at ' || applied_at from"
        " change order by version desc",
    ),
    Statement(
        "2",
        "Architecture: is there one glossary, and is lineage known?",
        "select term || ': ' || count(field) || ' columns' from term left join usage using (term)"
        " group by term order by 1",
        "Lineage by table and column is on the site of `headrace docs build`.",
    ),
    Statement(
        "3",
        "Accuracy and integrity: what is checked before it is published?",
        "select node.name || ': ' || count(test.name) || ' blocking checks, newest ' ||"
        " coalesce(verdict, 'unchecked') from node left join test on test.node = node.name and"
        " severity = 'blocking' group by node.name, verdict order by 1",
    ),
    Statement(
        "4",
        "Completeness: which checks look for rows or values that are missing?",
        "select node || ': ' || name from test where kind in ('not_null', 'row_count', 'freshness',"
        " 'references') order by 1",
    ),
    Statement(
        "5",
        "Timeliness: which promises were kept?",
        "select name || ': ' || promise || ', kept ' || coalesce(kept, 0) || ' of ' ||"
        " coalesce(promised, 0) from consumer order by 1",
    ),
    Statement("6", "Adaptability to other questions", gap="it is no property of what is applied."),
    Statement(
        "7",
        "Accuracy of reports: which of them are known to be wrong or late?",
        "select name || ': ' || state from consumer order by 1",
    ),
    Statement("8", "Comprehensiveness of reports", gap="which risks there are isn't declared."),
    Statement(
        "9",
        "Clarity: which terms and reports aren't described?",
        "select 'term ' || term from term where definition = '' union all select 'consumer ' ||"
        " name from consumer where description = '' order by 1",
    ),
    Statement(
        "10",
        "Frequency: how often is each report promised?",
        "select name || ': ' || promise from consumer where promise <> '' order by 1",
    ),
    Statement(
        "11",
        "Distribution: where do reports go?",
        "select name || ': ' || coalesce(target, 'read here, by those whom access.yaml lets') from"
        " consumer order by 1",
    ),
    Statement("12-14", "Review by supervisors", gap="it is theirs."),
)
SOX = (
    Statement(
        "302, 404",
        "What reaches each report?",
        f"{_ABOVE}select consumer || ': ' || string_agg(distinct node, ', ' order by node) from"
        " above group by consumer order by 1",
    ),
    Statement(
        "404",
        "Who answers for what reaches it?",
        f"{_ABOVE}select distinct consumer || ': ' || owner from above join node on node.name ="
        " above.node order by 1",
    ),
    Statement(
        "404",
        "Who changed it, by which plan?",
        "select 'version ' || version || ' by ' || applied_by || ', plan ' || coalesce(plan_id,"
        " 'none') || ', ' || files || ' files, ' || applied_at from change order by version desc",
        "Those who see the whole project see the versions.",
    ),
    Statement("404", "Who may change it?", gap="it is in `headrace access`, not in this file."),
    Statement(
        "404",
        "Which controls stop wrong numbers?",
        f"{_ABOVE}select distinct above.consumer || ': ' || test.node || ', ' || test.name from"
        " above join test on test.node = above.node where severity = 'blocking' order by 1",
    ),
    Statement(
        "302",
        "Which faults are known?",
        "select id || ', ' || state || ': ' || summary from incident order by 1",
    ),
    Statement("802", "Is the record kept unchanged?", gap="`headrace audit verify` checks that."),
)
AI_ACT = (
    Statement(
        "10(2)(b)",
        "Where does the data of each model come from?",
        f"{_MODELS}select consumer || ': ' || above.node || ', of ' || node.owner from above join"
        " node on node.name = above.node where node.kind = 'source' and consumer in (from model)"
        " order by 1",
        "A consumer with the tag `model` counts as one.",
    ),
    Statement(
        "10(2)(c)",
        "How is it prepared?",
        f"{_MODELS}select consumer || ': ' || above.node || ', ' || node.place from above join node"
        " on node.name = above.node where node.kind <> 'source' and consumer in (from model)"
        " order by 1",
    ),
    Statement("10(2)(a), (d)", "Design choices and assumptions", gap="they aren't declared."),
    Statement(
        "10(2)(e)",
        "How much data is there?",
        f"{_MODELS}select consumer || ': ' || above.node || ', ' || coalesce(row_count, 0) ||"
        " ' rows in ' || newest from above join node on node.name = above.node where newest is not"
        " null and consumer in (from model) order by 1",
    ),
    Statement("10(2)(f), (g)", "Examination for bias", gap="no check of Headrace looks for it."),
    Statement(
        "10(2)(h)",
        "Which gaps are known?",
        f"{_MODELS}select consumer || ': ' || level.node || ', not enforced: ' || says from above"
        " join level on level.node = above.node where enforced = 'no' and consumer in (from model)"
        " union all select above.consumer || ': ' || id || ', ' || summary from above join incident"
        " on incident.node = above.node where consumer in (from model) order by 1",
    ),
    Statement("10(3), (4)", "Is it representative?", gap="it depends on who is meant."),
    Statement(
        "10(5)",
        "Which classified columns reach a model?",
        f"{_MODELS}select distinct consumer || ': ' || field.node || '.' || field.name || ', ' ||"
        " classification from above join field on field.node = above.node where classification is"
        " not null and consumer in (from model) order by 1",
    ),
)


def gdpr_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield the record of processing of the GDPR, article 30."""
    yield from statement_files(described, "gdpr", "GDPR, article 30: records of processing", GDPR)


def bcbs_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield the evidence for the principles of BCBS 239."""
    yield from statement_files(described, "bcbs-239", "BCBS 239: principles and evidence", BCBS)


def sox_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield what the Sarbanes-Oxley Act asks of what reaches reports."""
    yield from statement_files(described, "sox", "SOX: what reaches the reports", SOX)


def ai_act_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield the data governance of models, article 10 of the EU AI Act."""
    yield from statement_files(described, "ai-act", "EU AI Act, article 10", AI_ACT)
