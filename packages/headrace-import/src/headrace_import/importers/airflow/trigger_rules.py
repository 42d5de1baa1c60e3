"""Trigger rules of tasks, in words."""

from __future__ import annotations

from collections.abc import Mapping

SUCCESS_ONLY = "all_success"
_RULES: Mapping[str, str] = {
    "all_failed": "starts it only after all tasks before it failed",
    "all_done": "starts it once all tasks before it ended, also after a failure or a skip",
    "all_done_setup_success": "starts it once all tasks before it ended, also after a failure",
    "all_done_min_one_success": "starts it once all tasks before it ended and one succeeded, also"
    " after a failure or a skip",
    "all_skipped": "starts it only if all tasks before it were skipped",
    "one_failed": "starts it only after a task before it failed, without waiting for the others",
    "one_success": "starts it as soon as one task before it succeeded, without waiting for the"
    " others",
    "one_done": "starts it as soon as one task before it ended, also after a failure",
    "none_failed": "starts it also after tasks that were skipped, but not after a failure",
    "none_failed_min_one_success": "starts it once no task before it failed and one succeeded, also"
    " if others were skipped",
    "none_failed_or_skipped": "starts it once no task before it failed and one succeeded, also if"
    " others were skipped",
    "none_skipped": "starts it unless a task before it was skipped, also after a failure",
    "always": "starts it at once, whatever the tasks before it do",
    "dummy": "starts it at once, whatever the tasks before it do",
}
_AFTER_FAILURES = frozenset(("all_failed", "one_failed"))
_AFTER_SKIPS = frozenset(
    ("none_failed", "none_failed_min_one_success", "none_failed_or_skipped", "all_skipped")
)


def words_of(rule: str) -> tuple[str, str]:
    """Return why a task with this rule is no asset, and what to do; for other than all_success."""
    if rule not in _RULES:
        return (
            "its trigger rule is known only at run time; an asset starts only after success",
            "decide after which tasks it starts: `depends:`",
        )
    why = f"its trigger rule `{rule}` {_RULES[rule]}; a Headrace asset starts only after success"
    if rule in _AFTER_FAILURES:
        return why, "use a notification of failures in its place"
    if rule in _AFTER_SKIPS:
        return why, "decide what it needs: `depends:` on the tasks that aren't skipped"
    return why, "decide what it needs: `depends:` on the tasks that must succeed"
