"""Limits that pages quote are those of the code: each phrase is made of the constant it names."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import pytest
from page_lab import ROOT, pages
from simulation import random_scenarios, simulator

from headrace.checks import audit, metrics, profile_plan
from headrace.checks import restatement as redelivered
from headrace.checks.anomalies import categories, expectations, times, young_series
from headrace.checks.anomalies.columns import HELD as NEW_CATEGORY_SHARE
from headrace.connect import (
    connectors,
    files,
    filesystems,
    parser_process,
    raw_files,
    row_partitions,
)
from headrace.connect import deliveries as connect_deliveries
from headrace.engine import command
from headrace.incidents import gathering, notifications, updates
from headrace.incidents.diagnosis import attribution
from headrace.incidents.evidence import arrivals
from headrace.incidents.evidence import attempts as evidence_attempts
from headrace.integrations.notifications import channels
from headrace.lake import erased_files, exact_json, small_files, strict_casts
from headrace.lake.catalog import small_merges as slices
from headrace.model import common_fields, for_each, policy
from headrace.model import times as model_times
from headrace.model.nodes import Backups, Settings
from headrace.project import status_facts
from headrace.runtime import (
    clock_jumps,
    estimates,
    garbage,
    history_retention,
    leadership,
    maintenance,
    observations,
    small_merges,
)
from headrace.runtime import graph as runtime_graph
from headrace.runtime.executors import workers
from headrace.runtime.overlays import backfill, overlay
from headrace.runtime.steps import anomalies, repeated_rows, restatements, sources
from headrace.runtime.tasks import deliveries as deliveries_of_tasks
from headrace.runtime.tasks import delivery_batches
from headrace.scheduler import attempts as scheduler_attempts
from headrace.scheduler import graph as scheduler_graph
from headrace.security import passwords, root_keys, secrets, sessions
from headrace.services import emergencies, status, tokens
from headrace.serving import rebuildable_cleanup, serving
from headrace.slo import freshness
from headrace.store import lease
from headrace.store.engines import sqlite
from headrace.store.queries import attempts as stored_attempts
from headrace.store.queries import deliveries, ingestion
from headrace.store.queries.quality import VERSIONS_MAX

# pages tell limits of the packages beside Headrace, too
pytest.importorskip("headrace_advisor")
pytest.importorskip("headrace_agents")
pytest.importorskip("headrace_cloud")
pytest.importorskip("headrace_databases")
pytest.importorskip("headrace_erase")
pytest.importorskip("headrace_http")
pytest.importorskip("headrace_import")
pytest.importorskip("headrace_legacy")
pytest.importorskip("headrace_observe")
pytest.importorskip("headrace_ui")
from headrace_advisor.analysis import history, partition_rules
from headrace_advisor.analysis.complexity import SEEN_DAYS
from headrace_advisor.queries import past_work
from headrace_advisor.services import dismissed, trial_outcomes, weekly_advice
from headrace_agents import results
from headrace_cloud import dask, secret_lookups
from headrace_databases import following
from headrace_databases.engines import parquet_files
from headrace_databases.engines import postgresql as postgresql_source
from headrace_erase import searched_places
from headrace_http import client as http_client
from headrace_http import deliveries as http_deliveries
from headrace_import.importers.airflow import building as airflow_building
from headrace_import.importers.airflow import origin as airflow_origin
from headrace_import.services import diff as import_diff
from headrace_import.services import diff_columns
from headrace_legacy import excel_export, workbook_files, xml
from headrace_observe import metrics as scraped
from headrace_observe import openlineage, traces
from headrace_ui.services import calendar, consumer_history, today
from headrace_ui.views import upcoming
from headrace_ui.web import badges

GIB, MIB, KIB = 2**30, 2**20, 2**10
HOUR_US = 3_600 * 1_000_000
DAY_US = 24 * HOUR_US

QUOTED = [
    ("docs/how-to/change-data.md", f"after {following.HEARTBEAT_BYTES >> 20} MiB"),
    ("docs/how-to/change-data.md", f"From {following.RETAINED_BYTES >> 20} MiB"),
    ("docs/how-to/change-data.md", {"1h": "for an hour"}[following.HEARTBEAT]),
    ("README.md", f"within {status.WARNED_US // (24 * HOUR_US)} days"),
    ("docs/explanation/diagnosis.md", f"within {gathering.WARNED_US // (24 * HOUR_US)} days"),
    ("docs/how-to/web-ui.md", f"the last {today.TodayQuery().days} days"),
    ("docs/how-to/web-ui.md", f"Next {today.TodayQuery().hours} hours"),
    ("docs/how-to/web-ui.md", f"Deadlines of the next {calendar.PREDICTED_US // HOUR_US} hours"),
    ("docs/how-to/web-ui.md", f"the last {upcoming.PAST_MAX} deliveries"),
    ("docs/how-to/web-ui.md", f"the newest {consumer_history.DELIVERIES_MAX} deliveries"),
    ("docs/how-to/simplify.md", f"at least {partition_rules.SMALL_PARTITIONS_LEAST} partitions"),
    ("docs/how-to/optimize.md", f"at least {partition_rules.SMALL_PARTITIONS_LEAST} partitions"),
    ("docs/how-to/optimize.md", f"more than {partition_rules.LARGE_BYTES // 10**9} GB"),
    ("docs/how-to/optimize.md", f"less than {partition_rules.SMALL_BYTES // 1000} kB"),
    ("docs/how-to/optimize.md", f"in the last {SEEN_DAYS} days"),
    ("docs/how-to/simplify.md", f"more than {partition_rules.LARGE_BYTES // 10**9} GB"),
    ("docs/how-to/simplify.md", f"in the last {status_facts.WINDOW.removesuffix('d')} days"),
    ("docs/how-to/access.md", f"for at most {emergencies.SECONDS_MAX // 60} minutes"),
    ("docs/how-to/partitions.md", {"1d": "at most a day"}[model_times.MAX_AHEAD]),
    ("docs/how-to/badges.md", f"for {badges.FRESH_SECONDS} seconds"),
    ("docs/how-to/optimize.md", {60_000_000: "at least a minute more"}[dismissed.COST_LEAST_US]),
    ("docs/how-to/optimize.md", f"at least {trial_outcomes.FOLLOWED_RUNS_MIN} times"),
    ("docs/how-to/notify.md", f"the last {weekly_advice.WINDOW.removesuffix('d')} days"),
    (
        "docs/how-to/notify.md",
        f"at least {weekly_advice.WAIT_LEAST_US // 60_000_000} minute",
    ),
    ("docs/how-to/what-if.md", f"from the last {history.WINDOW_DAYS} days"),
    (
        "docs/how-to/what-if.md",
        f"at most {past_work.ATTEMPTS_MAX} attempts and {past_work.DELIVERIES_MAX} deliveries",
    ),
    ("docs/how-to/access.md", f"ends after {sessions.LOCAL_IDLE_SECONDS // 3600} hours"),
    (
        "docs/how-to/access.md",
        f"after {sessions.LOCAL_ABSOLUTE_SECONDS // 86_400} days in any case",
    ),
    ("docs/how-to/mask.md", f"asks Vault again every {root_keys.VAULT_SECONDS / 60:.0f} minutes"),
    (
        "docs/how-to/approve.md",
        f"After {notifications.FLOOD_MAX} messages to one recipient in an hour",
    ),
    (
        "docs/how-to/sign-in.md",
        (
            f"ends after {sessions.LOCAL_IDLE_SECONDS // 3600} hours without a request, and after"
            f" {sessions.LOCAL_ABSOLUTE_SECONDS // 86_400} days in any case"
        ),
    ),
    (
        "docs/how-to/sign-in.md",
        (
            f"ends after {sessions.IDLE_SECONDS // 60} minutes without a request, and after"
            f" {sessions.ABSOLUTE_SECONDS // 3600} hours in any case"
        ),
    ),
    ("docs/how-to/sign-in.md", f"at least {passwords.PASSWORD_CHARACTERS_MIN} characters"),
    ("docs/how-to/agents.md", f"at most {results.RESULT_BYTES_MAX // KIB} KiB"),
    ("docs/how-to/approve.md", f"after {policy.EXPIRES_DAYS} days"),
    ("docs/how-to/access.md", f"lasts at most {tokens.EXPIRES_DAYS_MAX} days"),
    (
        "docs/how-to/erase.md",
        f"at most {rebuildable_cleanup.DAILY_PARTITIONS_MAX} partitions of an asset",
    ),
    (
        "docs/how-to/erase.md",
        f"for at most {rebuildable_cleanup.DAILY_SECONDS_MAX:.0f} seconds in total",
    ),
    (
        "docs/how-to/erase.md",
        f"once a day{', after the maintenance' * (maintenance.EVERY.days == 1)}",
    ),
    (
        "docs/how-to/erase.md",
        f"overwritten, from {searched_places.LITERAL_CHARACTERS_MIN} characters on",
    ),
    (
        "docs/how-to/erase.md",
        (
            f"from {erased_files.TEXT_CHARACTERS_MIN} characters on, but for dates, single words in"
            f" lower case, and numbers of up to {erased_files.NUMBER_CHARACTERS_MIN - 1} characters"
        ),
    ),
    ("docs/how-to/deploy.md", f"for up to {serving.GRACE_SECONDS:.0f} s"),
    ("docs/how-to/deploy.md", f"becomes the leader after {lease.LEASE_SECONDS:.0f} s"),
    ("docs/how-to/deploy.md", f"hasn't been renewed for {lease.LEASE_SECONDS:.0f} s"),
    (
        "docs/how-to/deploy.md",
        f"last {freshness.GAPS_OF_MEDIAN} gaps between observations",
    ),
    ("docs/how-to/dask.md", f"no workers within {dask.WORKERS_SECONDS:.0f} seconds"),
    ("docs/how-to/files.md", f"at most {common_fields.KEY_CHARACTERS_MAX:,} characters"),
    ("docs/how-to/files.md", f"at least {strict_casts.LONG_FRACTION} decimals"),
    ("docs/how-to/files.md", f"more than {raw_files.UNPACKED_RATIO_MAX} times its size"),
    ("docs/how-to/files.md", f"from {raw_files.UNPACKED_FREE_BYTES:,} bytes on"),
    ("docs/how-to/files.md", {1.0: "hasn't changed for one second"}[files.QUIET_SECONDS]),
    (
        "docs/how-to/http-api.md",
        f"waits at most {http_deliveries.LOOK_PATIENCE:.0f} s for an answer",
    ),
    ("docs/how-to/http-api.md", f"waits, up to {http_client.WAIT_SECONDS_MAX:.0f} s at a time"),
    (
        "docs/how-to/http-api.md",
        f"more than {http_deliveries.PAGE_BYTES_MAX // MIB} MiB in one of several pages",
    ),
    ("docs/how-to/http-api.md", f"{deliveries_of_tasks.FETCHED_TIMES} times the source's largest"),
    (
        "docs/how-to/http-api.md",
        (
            f"at least {deliveries_of_tasks.FETCHED_BYTES // GIB} GiB,"
            f" and {deliveries_of_tasks.FIRST_FETCHED_BYTES // GIB} GiB for the first"
        ),
    ),
    (
        "docs/how-to/http-api.md",
        f"more than {connect_deliveries.DELIVERY_BYTES_MAX // GIB} GiB in all",
    ),
    ("docs/how-to/databases.md", f"the type of its first {parquet_files.BATCH_ROWS:,} values"),
    ("docs/how-to/databases.md", f"more than {postgresql_source.DECIMAL_DIGITS_MAX} digits"),
    ("docs/how-to/databases.md", f"than {postgresql_source.DECIMALS_OF_ANY} decimals"),
    (
        "docs/how-to/command-assets.md",
        f"At most {command.EVENTS_BYTES_MAX // MIB} MiB of events is read",
    ),
    ("docs/how-to/postgresql.md", f"for {sqlite.BUSY_SECONDS:.0f} seconds at most"),
    ("docs/how-to/metrics.md", {1.0: "at most once a second"}[scraped.METRICS_FRESH_SECONDS]),
    ("docs/how-to/notify.md", f"More than {notifications.FLOOD_MAX} messages an hour"),
    (
        "docs/how-to/notify.md",
        {7: "is more than seven days away"}[notifications.AHEAD_US // (24 * HOUR_US)],
    ),
    (
        "docs/how-to/notify.md",
        {7: "still open seven days before the deadline"}[notifications.AHEAD_US // (24 * HOUR_US)],
    ),
    ("docs/explanation/anomalies.md", f"the same in at least {categories.HOLD_MIN} deliveries"),
    (
        "docs/explanation/anomalies.md",
        (
            f"({young_series.SAME_ROWS_MIN} or more; with fewer than {young_series.ROWS_MIN} rows:"
            " about the same number)"
        ),
    ),
    (
        "docs/how-to/excel.md",
        f"unpacks to more than {workbook_files.WORKBOOK_BYTES_MAX // GIB} GiB",
    ),
    ("docs/how-to/exports.md", f"More than {excel_export.ROWS_MAX - 1:,} rows are an error"),
    ("docs/how-to/exports.md", f"more than {excel_export._DIGITS} digits"),
    (
        "docs/how-to/python-assets.md",
        f"the last calls were short, {1_000 * scheduler_attempts.CALL_SECONDS:.0f} ms each at most",
    ),
    ("docs/how-to/python-requirements.md", f"last {garbage.ENVIRONMENTS_KEPT.days} days"),
    ("docs/how-to/python-assets.md", f"more than {small_files.SMALL_BYTES_MAX // KIB} KiB"),
    ("docs/limits.md", f"at most {delivery_batches.DELIVERY_BYTES_MAX // KIB} KiB"),
    ("docs/limits.md", f"once {scheduler_attempts.HISTORY_NEEDED} intervals are published"),
    (
        "docs/explanation/performance.md",
        f"the first {scheduler_attempts.HISTORY_NEEDED} deliveries are attempts of their own",
    ),
    ("docs/how-to/drift.md", f"up to {sources.ROWS_MAX:,} rows of each are read"),
    (
        "docs/how-to/incidents.md",
        f"finds at least {evidence_attempts.HISTORY_INTERVALS_MIN} intervals",
    ),
    (
        "docs/how-to/operate.md",
        f"from the last {stored_attempts.DURATIONS_WINDOW} attempts that succeeded",
    ),
    (
        "docs/how-to/openlineage.md",
        {3.0: "waits up to three seconds at its end"}[openlineage.LAST_SECONDS],
    ),
    ("docs/how-to/traces.md", {3.0: "three seconds at its end"}[traces.LAST_SECONDS]),
    (
        "docs/explanation/durability.md",
        f"a server every {maintenance.SERVER_EVERY_SECONDS:.0f} seconds",
    ),
    (
        "docs/explanation/durability.md",
        f"for at most {maintenance.ROTATION_SECONDS * 1000:.0f} ms a pass",
    ),
    (
        "docs/explanation/durability.md",
        f"a server tries every {scheduler_attempts.ENVIRONMENT_WAIT_US // 1_000_000} seconds",
    ),
    ("docs/explanation/durability.md", {300.0: "five minutes at most"}[serving.PATIENCE_SECONDS]),
    ("docs/explanation/durability.md", f"ahead by more than {clock_jumps.JUMP_DAYS} days"),
    (
        "docs/explanation/durability.md",
        {86_400_000_000: "database's clock is more than a day behind"}[clock_jumps.MARGIN_US],
    ),
    ("docs/explanation/durability.md", f"more than {small_merges.CURRENT_FILES_MAX} files"),
    ("docs/explanation/durability.md", f"until it has {small_merges.CURRENT_FILES_MAX // 2}"),
    ("docs/explanation/durability.md", f"at most {small_merges.SLICES_PER_ROUND} merged files"),
    ("docs/explanation/durability.md", f"at most {slices.MERGED_AT_MOST} others"),
    ("docs/explanation/durability.md", f"Files of {slices.SMALL_BYTES_MAX // MIB} MiB and more"),
    ("docs/how-to/from-airflow.md", f"last {import_diff.WINDOW.days} days"),
    ("docs/how-to/from-airflow.md", {10: "rounded to ten digits"}[diff_columns.DIGITS]),
    ("docs/how-to/from-airflow.md", f"newest {import_diff.PARTITIONS_MAX:,} of an asset"),
    (
        "docs/how-to/from-airflow.md",
        (
            f"A file of more than {airflow_origin.FILE_BYTES_MAX // MIB} MiB, and tasks beyond"
            f" {airflow_building.TASKS_MAX:,} in one file"
        ),
    ),
    ("docs/explanation/performance.md", f"{history_retention.ROWS_MAX} attempts per transaction"),
    (
        "docs/explanation/diagnosis.md",
        f"for {attribution.CHANGED_US[attribution.Grain.DAY] // HOUR_US} hours after the change",
    ),
    (
        "docs/explanation/diagnosis.md",
        f"for {attribution.CHANGED_LONG_US // (24 * HOUR_US)} days after it",
    ),
    (
        "docs/explanation/anomalies.md",
        {1.5: "at least half as many rows again"}[anomalies.MORE_TIMES],
    ),
    (
        "docs/how-to/drift.md",
        {0.1: "only if at least a tenth of its rows are gone"}[restatements.MUCH_CHANGED],
    ),
    ("docs/explanation/anomalies.md", f"| {expectations.HISTORY_HOLD_MIN} and more |"),
    ("docs/explanation/anomalies.md", f"| {expectations.HISTORY_WARN_MIN} and more |"),
    (
        "docs/explanation/anomalies.md",
        f"| {young_series.WARN_MIN} to {young_series.HOLD_MIN - 1} |",
    ),
    (
        "docs/explanation/anomalies.md",
        f"With fewer than {expectations.HISTORY_HOLD_MIN} sound partitions",
    ),
    ("docs/explanation/anomalies.md", f"Of a delivery of fewer than {young_series.ROWS_MIN} rows"),
    (
        "docs/explanation/anomalies.md",
        f"it is at least {young_series.ROWS_MIN} rows below the least so far",
    ),
    ("docs/explanation/anomalies.md", f"the level of {expectations.RECENT} partitions"),
    ("docs/explanation/anomalies.md", f"on the last {expectations.BACKTEST} are credible"),
    ("docs/explanation/anomalies.md", f"the {metrics.HISTORY_PARTITIONS} sound partitions"),
    (
        "docs/explanation/anomalies.md",
        f"with {NEW_CATEGORY_SHARE:.0%} of the rows or more".replace("%", " %"),
    ),
    ("docs/explanation/anomalies.md", f"up to {repeated_rows.REPEATED_ROWS_MAX:,} a delivery"),
    ("docs/explanation/anomalies.md", f"with the newest {VERSIONS_MAX} versions"),
    (
        "docs/how-to/databases.md",
        {(10, 3600.0): "up to a tenth of `every:` early, but at most an hour"}[
            observations.EARLY_PART, observations.EARLY_SECONDS_MAX
        ],
    ),
    (
        "docs/how-to/http-api.md",
        {3600.0: "retries a failed fetch after an hour"}[observations.FAILED_SECONDS],
    ),
    ("docs/how-to/http-api.md", {86_400.0: "a day at most"}[connectors.AWAY_SECONDS_MAX]),
    (
        "docs/how-to/http-api.md",
        {86_400.0: "pages are kept for a day"}[connectors.PAGES_SECONDS_MAX],
    ),
    (
        "docs/how-to/http-api.md",
        {3600.0: "A pause of more than an hour"}[connectors.THROTTLED_SECONDS_MAX],
    ),
    (
        "docs/how-to/databases.md",
        {"60000": "notices a lost machine after one minute"}[
            postgresql_source._ALIVE["tcp_user_timeout"]
        ],
    ),
    ("docs/how-to/deploy.md", {1.0: "hasn't changed for one second"}[files.QUIET_SECONDS]),
    ("docs/how-to/secret-managers.md", {10: "for ten seconds"}[secret_lookups.CACHE_SECONDS]),
    ("docs/how-to/secret-managers.md", {5: "within five seconds"}[secret_lookups.WAIT_SECONDS]),
    ("docs/how-to/remote-files.md", {5_000_000: "for five seconds"}[filesystems.SETTLE_US]),
    (
        "docs/how-to/incidents.md",
        {7: "The same cause within seven days"}[updates.REOPENS_US // (24 * HOUR_US)],
    ),
    (
        "docs/how-to/quarantine.md",
        {7: "more than seven days before"}[updates.REOPENS_US // (24 * HOUR_US)],
    ),
    (
        "docs/how-to/postgresql.md",
        {300.0: "tries again for five minutes"}[serving.PATIENCE_SECONDS],
    ),
    ("docs/how-to/schedule.md", {60_000_000: "a minute after"}[scheduler_graph.LAPSE_US]),
    (
        "docs/how-to/backfill.md",
        {1.0: "Running attempts may end within one second"}[overlay.PATIENCE_SECONDS],
    ),
    (
        "docs/how-to/backup.md",
        {("1d", 7): "once a day and keeps the last seven copies"}[Backups().every, Backups().keep],
    ),
    ("docs/how-to/backup.md", {"1d": "copies its state once a day by itself"}[Backups().every]),
    (
        "docs/how-to/deploy.md",
        {"1d": "A server copies state and catalog once a day by itself"}[Backups().every],
    ),
    (
        "docs/explanation/durability.md",
        {"1d": "State and catalog are copied once a day"}[Backups().every],
    ),
    ("docs/how-to/metrics.md", {"30d": "the last 30 days"}[status_facts.WINDOW]),
    ("docs/how-to/figures.md", {"30d": "for the last thirty days"}[status_facts.WINDOW]),
    (
        "docs/how-to/incidents.md",
        {1.0: "at most once an hour"}[maintenance.RECLAIM_EVERY.total_seconds() / 3600],
    ),
    (
        "docs/explanation/anomalies.md",
        {28: "In the first four weeks"}[expectations.HISTORY_HOLD_MIN],
    ),
    (
        "docs/explanation/anomalies.md",
        {4.0: "at up to four times the fastest rise"}[expectations.FASTER],
    ),
    (
        "docs/explanation/anomalies.md",
        f"within {math.exp(young_series.STEADY) - 1:.0%} of each other".replace("%", " %"),
    ),
    (
        "docs/explanation/anomalies.md",
        f"less than {math.exp(-young_series.STEADY_LOST):.0%} of the least".replace("%", " %"),
    ),
    (
        "docs/explanation/anomalies.md",
        f"at least {redelivered.MISSING_ROWS_MIN} rows and {redelivered.MISSING_MIN:.0%} are"
        " missing".replace("%", " %"),
    ),
    (
        "docs/explanation/anomalies.md",
        f"no more than {redelivered.MORE - 1:.0%} more rows than any before it".replace("%", " %"),
    ),
    ("docs/explanation/anomalies.md", {7: "only after seven partitions"}[times.SUMS_MIN]),
    (
        "docs/explanation/anomalies.md",
        f"held after {young_series.HOLD_MIN} sound partitions with that weekday among them",
    ),
    (
        "docs/explanation/durability.md",
        {10.0: "keeps its lease for ten seconds"}[lease.LEASE_SECONDS],
    ),
    (
        "docs/explanation/durability.md",
        {1: "a day after it was written at the earliest"}[garbage.LONGEST_ATTEMPT.days],
    ),
    ("docs/explanation/durability.md", {1: "by its own SQL, once a day"}[maintenance.EVERY.days]),
    (
        "docs/explanation/performance.md",
        {1: "A server removes them once a day"}[maintenance.EVERY.days],
    ),
    (
        "docs/limits.md",
        {1: "A server compares once a day, before maintenance"}[maintenance.EVERY.days],
    ),
    ("docs/limits.md", {"1d": "State and catalog are copied once a day"}[Backups().every]),
    ("docs/limits.md", {7: "is deleted after a week"}[maintenance.STAGED_KEPT.days]),
    (
        "docs/explanation/simulation.md",
        (
            f"at least {simulator.ASSETS_MIN} assets, {simulator.EVENTS_MIN} events and"
            f" {random_scenarios.FAULTS_MIN} faults"
        ),
    ),
    ("docs/limits.md", f"after {arrivals.LEAST} deliveries"),
    ("docs/limits.md", f"the first {expectations.HISTORY_HOLD_MIN} sound partitions"),
    ("docs/limits.md", f"has at most {exact_json.OBJECT_BYTES_MAX // MIB} MiB"),
    ("docs/limits.md", f"at most {xml.RECORD_BYTES_MAX // MIB} MiB"),
    ("docs/limits.md", f"has at most {row_partitions.KEYS_MAX:,} partitions"),
    ("docs/how-to/for-each.md", f"has at most {for_each.INSTANCES_MAX:,} nodes"),
    ("docs/limits.md", f"with more than {postgresql_source.DECIMAL_DIGITS_MAX} digits"),
    ("docs/limits.md", f"among the newest {deliveries.NEWEST_INTERVALS} deliveries"),
    ("docs/limits.md", f"of more than {profile_plan.EXACT_ROWS_MAX:,} rows are estimated"),
    (
        "docs/limits.md",
        f"from {profile_plan.FIRST_SAMPLE_ROWS:,} to {2 * profile_plan.FIRST_SAMPLE_ROWS:,} of them",
    ),
    (
        "docs/limits.md",
        f"{profile_plan.SAMPLE_ROWS:,} to {2 * profile_plan.SAMPLE_ROWS:,} are read",
    ),
    ("docs/limits.md", f"with more than {audit.PROFILES_MAX:,} partitions times columns"),
    ("docs/limits.md", f"fewer than {secrets.PROMISED_CHARACTERS_MIN} characters"),
    ("docs/limits.md", f"up to {repeated_rows.DISTINCT_MAX:,} values"),
    ("docs/limits.md", f"in a batch of {runtime_graph.BATCH_MAX}"),
    ("docs/limits.md", {0.25: "four times a second"}[workers.LOOK_SECONDS]),
    ("docs/limits.md", {0.2: "a fifth of the memory"}[leadership.BACKGROUND_MEMORY_SHARE]),
    ("docs/limits.md", {4: "after four attempts"}[estimates.OWN_MIN]),
    (
        "docs/limits.md",
        {(5, 20): "five rows of the first twenty failures"}[
            backfill.ROWS_LISTED_MAX, backfill.FAILURES_LISTED_MAX
        ],
    ),
    ("docs/limits.md", f"at most {workbook_files.WORKBOOK_BYTES_MAX // GIB} GiB unpacked"),
    ("docs/limits.md", {600.0: "ten minutes"}[parser_process.SECONDS_MAX]),
]
"""Page and the phrase in which it quotes a limit, written with the constant."""


def text(page: str | Path) -> str:
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(("page", "phrase"), QUOTED)
def test_a_page_quotes_the_limit_of_the_code(page: str, phrase: str) -> None:
    """Would catch: a limit that was changed, and a page that promises the old one."""
    assert phrase in text(page), f"{page} doesn't say {phrase!r}"


def test_a_page_is_stale_after_what_the_page_about_it_says() -> None:
    """Would catch: another wait of the web UI than its page gives."""
    assert "const STALE_MS = 30_000;" in (ROOT / "ui/src/api/live.ts").read_text(encoding="utf-8")
    assert "hasn't heard from the server for thirty seconds" in text("docs/how-to/web-ui.md")


def test_waits_between_tries_of_a_message_are_those_of_the_code() -> None:
    """Would catch: another series of waits than the page gives."""
    assert channels.WAITS_SECONDS == (5, 30, 120, 600, 1_800, 3_600, 10_800)
    assert (
        "after 5 seconds, 30 seconds, 2 minutes, 10 minutes, 30 minutes, an hour and three hours"
        in text("docs/how-to/notify.md")
    )


def test_planted_defects_are_as_many_as_the_page_says() -> None:
    """Would catch: defects that were taken out of the list, and a page that still counts them."""
    planted = (ROOT / "tests/simulation/planted.py").read_text(encoding="utf-8").count("\n@planted")
    assert planted > 30 and "more than thirty defects" in text("docs/explanation/simulation.md")
    assert "SEEDS_MAX = 200" in (ROOT / "tests/simulation/test_planted.py").read_text(
        encoding="utf-8"
    )
    assert "within 200 seeds" in text("docs/explanation/simulation.md")


def test_the_laboratory_is_as_large_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a laboratory that was made smaller or larger, and figures that stand for another
    one."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "faults"))
    from lab import findable, graph, pairing, shapes

    page = text("docs/explanation/diagnosis.md")
    assert (
        "A project has {} to {} assets and {} to {} clean days".format(
            *graph.ASSETS, *shapes.HISTORY
        )
        in page
    )
    assert f"about {shapes.ROWS[0][0]} to {shapes.ROWS[-1][1]:,} rows a day" in page
    columns = [len(source.order) for seed in range(200) for source in shapes.world(seed).events]
    assert f"with {min(columns)} to {max(columns)} columns" in page
    assert sum(pairing.WAYS.values()) == 10 and "ten pairs" in page
    words = {1: "one", 2: "two", 3: "three", 4: "four"}
    same, below, two, anywhere = (
        words[pairing.WAYS[way]] for way in ("same", "below", "two", "any")
    )
    assert f"in one delivery ({same}), at a source and an asset computed from it ({below})" in page
    assert f"at two sources of one asset ({two}), or anywhere ({anywhere})" in page
    assert (findable.TIMES_EVER, findable.DEVIATIONS, findable.ROWS_MIN) == (2.0, 6.0, 20)
    assert (
        "twice as far" in page
        and "six of their standard deviations; a share also by 20 rows" in page
    )


def test_gaps_after_which_nobody_looked_are_those_of_the_code() -> None:
    """Would catch: other gaps than the page gives."""
    hours, minutes = freshness.CADENCE_UNKNOWN_US // HOUR_US, freshness.GAP_LEAST_US // 60_000_000
    days, kept = freshness.LEARNT_US // DAY_US, ingestion.OBSERVATIONS_KEPT
    assert (hours, minutes, days, kept) == (26, 10, 4, 50)
    page = text("docs/how-to/deploy.md")
    assert "gaps between observations, at least ten minutes" in page
    assert (
        "With fewer than 50 observations in less than four days, an observation is valid for 26"
        " hours. With more than 16 passes a day" in page
    )
    assert kept - 1 >= freshness.USUAL_TIMES * 16


def test_steps_of_a_young_series_are_those_of_the_code() -> None:
    """Would catch: other factors than the page gives."""
    rows, sizes = young_series._REACH["rows"], young_series._REACH["location"]
    factors = [
        round(math.exp(limit), 3) for limit in (rows.hold, rows.warn, sizes.hold, sizes.warn)
    ]
    assert factors == [1.6, 1.4, 2.0, 1.5]
    page = text("docs/explanation/anomalies.md")
    assert "more than 1.6 times the most" in page and "sizes (× 2)" in page
    assert "rows (a factor of 1.4 beyond any partition), sizes (1.5)" in page


def test_defaults_that_pages_quote_are_those_of_the_code() -> None:
    """Would catch: a default that was changed, and a page that promises the old one."""
    backups = Backups()
    assert (backups.every, backups.keep) == ("1d", 7)
    assert {field.name: field.default for field in msgspec.structs.fields(Settings)}[
        "look_every"
    ] == "60s"


NUMBERS = "a|an|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fourteen|fifteen|twenty|thirty|fifty|hundred|thousand"
QUANTITY = re.compile(
    r"\b(?:at most|up to|(?:more|fewer|less) than|within|every|newest|last|first|after|at"
    r" least|once|for up to|for)"
    rf" (?:a |the )?(?:\d[\d,.]*|{NUMBERS})"
    r" (?:s|ms|seconds?|minutes?|hours?|days?|weeks?|[KMG]i?B|rows|values|partitions|characters|messages"
    r"|digits|deliveries|intervals|attempts"
    r"|nodes|columns|gaps|versions|times|decimals|deaths)\b"
)
OTHERWISE = {
    ("docs/how-to/sign-in.md", "within 5 seconds"): "the check of streams, twice",
    ("docs/limits.md", "after a day"): "no: `a day after the 12th`",
    ("docs/how-to/dask.md", "within a second"): "`or so`: how long a Dask worker takes to notice",
    (
        "docs/how-to/databases.md",
        "once a day",
    ): "the default of `every:`, which a test of sources compares",
    ("docs/how-to/combine-sources.md", "once a day"): "what the page's own project declares",
    ("docs/how-to/notify.md", "once a day"): "what `digest:` is",
    ("docs/how-to/web-ui.md", "for thirty seconds"): "compared by a test of its own",
    ("docs/how-to/deploy.md", "at least ten minutes"): "compared by a test of its own",
    ("docs/how-to/deploy.md", "less than four days"): "compared by a test of its own",
    ("docs/how-to/deploy.md", "for 26 hours"): "compared by a test of its own",
    ("docs/how-to/metrics.md", "once a second"): "tied above",
    ("docs/explanation/anomalies.md", "up to thirty days"): "how the benchmark was made",
    ("docs/explanation/performance.md", "for a day"): "no: `for a day that does nothing`",
    ("docs/how-to/backup.md", "for 14 ms"): "measured, with its commit",
    (
        "docs/how-to/notify.md",
        "after 5 seconds",
    ): "the first of the waits, which a test of their own compares",
    (
        "docs/explanation/anomalies.md",
        "more than 1.6 times",
    ): "a logarithm in the code, which a test of its own compares",
    ("docs/explanation/durability.md", "within 24 hours"): "the name of the key: `looked_at_24h`",
}
"""Quantities that are no constants of the code, and where they come from."""


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in pages()])
def test_every_limit_on_a_page_is_tied_to_the_code(page: str) -> None:
    """Would catch: a limit in a sentence that nothing compares with the code."""
    prose = re.sub(
        r"^```.*?^```$",
        "",
        (ROOT / page).read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    prose = " ".join(prose.split())
    phrases = [phrase for of, phrase in QUOTED if of == page]
    places = [
        (at.start(), at.end()) for phrase in phrases for at in re.finditer(re.escape(phrase), prose)
    ]
    loose = [
        result[0]
        for result in QUANTITY.finditer(prose)
        if not any(start <= result.end() - 1 and result.start() < end for start, end in places)
        and (page, result[0]) not in OTHERWISE
    ]
    assert not loose, f"{page}: {loose}: tie them to constants in QUOTED, or reword"
