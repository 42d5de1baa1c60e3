// All checks: what each came to, and whether it can fail at all. A check that never failed may be a promise kept, or one that can't be broken.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useAct } from "../../api/acts";
import { useResponse } from "../../api/responses";
import { ActButtons, useRefusedActs } from "../../parts/ActButtons";
import { useFilters } from "../../parts/filters";
import { Empty, Heading, Loaded, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { BreakableName } from "../../parts/BreakableName";
import { Select } from "../../parts/Select";
import { State, labelOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import "../../parts/filters.css";

type Check = Schema["CheckStandingRow"];
type Tried = Schema["ChallengedCheckRow"];
type Row = Check & { tried: Tried | undefined };
const HISTORY = 30;
/** So long a challenge may take; a check that isn't reached has no verdict. */
const SECONDS = 45;
/** More are tried by the verb, which has no such limit. */
const TRIED_MAX = 30;

const FILTERS = ["search", "state", "sort"] as const;
type Order = { label: string; key: (row: Row) => number | string };
const BY_NODE: Order = { label: "by node", key: (row) => `${row.node} ${row.check}` };
const ORDERS: ReadonlyMap<string, Order> = new Map([
  ["node", BY_NODE],
  ["failed", { label: "most often failed", key: (row) => -row.failures / Math.max(1, row.runs) }],
  [
    "quiet",
    { label: "never failed, most often run", key: (row) => (row.failures ? 1 : -row.runs) },
  ],
  ["rows", { label: "most failing rows", key: (row) => -failing(row) }],
  ["verdict", { label: "worst verdict", key: (row) => VERDICTS.indexOf(row.tried?.verdict ?? "") }],
  ["cost", { label: "most costly", key: (row) => -(row.tried?.cost_ms ?? -1) }],
]);
const VERDICTS = ["cannot_fail", "never_ran", "flaky", "duplicate", "effective", ""];
const failing = (row: Check) => row.history.reduce((sum, row) => sum + row.failing, 0);
const page = (row: Check) =>
  `/assets/${encodeURIComponent(row.node)}?${new URLSearchParams({ part: "checks", check: row.check })}`;
const keyOf = (row: { node: string; check: string }) => `${row.node} ${row.check}`;

const COLUMNS: readonly Column<Row>[] = [
  {
    name: "Last",
    cell: (row) => (
      <div>
        <State of={row.state === "never" ? "never_ran" : row.state} />
        {row.at && (
          <div className="muted small">
            <Time at={row.at} />
          </div>
        )}
      </div>
    ),
  },
  {
    name: "Check",
    className: "why",
    cell: (row) => (
      <div>
        <Link className="mono" to={page(row)}>
          <BreakableName of={row.check} />
        </Link>
        <div className="muted small">
          {row.kind !== row.check && `${row.kind}, `}
          {row.severity}
        </div>
      </div>
    ),
  },
  {
    name: "Of",
    className: "why",
    cell: (row) => (
      <div>
        <BreakableName of={row.node} />
        <div className="muted small">{row.owner}</div>
      </div>
    ),
  },
  { name: "Failed", className: "number", cell: (row) => `${row.failures} of ${row.runs}` },
  { name: "Failing rows", className: "number", cell: (row) => failing(row).toLocaleString("en") },
  { name: "Challenge verdict", className: "why", cell: (row) => <Verdict row={row} /> },
  {
    name: "Cost",
    className: "number",
    cell: (row) =>
      row.tried?.cost_ms != null
        ? `${row.tried.cost_ms.toLocaleString("en", { maximumFractionDigits: 1 })} ms`
        : "",
  },
];

export function Checks() {
  usePageTitle("Checks");
  return (
    <div className="stack">
      <Heading title="Checks" subtitle={`All checks, with their last ${HISTORY} results.`} />
      <Loaded document={useResponse("/api/v1/checks", { query: { history: HISTORY } })}>
        {(rows) => (rows.length ? <All checks={rows} /> : <Nothing />)}
      </Loaded>
    </div>
  );
}

function All({ checks }: { checks: readonly Check[] }) {
  const { values, set, clear } = useFilters(FILTERS);
  const { mutation, progress } = useAct<Tried[]>("/api/v1/checks/challenge");
  const refused = useRefusedActs();
  const query = { search: "", state: "", sort: "node", ...values };
  const tried = new Map(
    mutation.data?.map((row) => [keyOf({ node: row.asset, check: row.check }), row]),
  );
  const order = (ORDERS.get(query.sort) ?? BY_NODE).key;
  const rows = checks
    .filter((row) => matches(row, query))
    .map((row) => ({ ...row, tried: tried.get(keyOf(row)) }))
    .toSorted((a, b) => compared(order(a), order(b)));
  const nodes = [...new Set(rows.map((row) => row.node))];
  return (
    <>
      <search className="filters">
        <label>
          Search
          <input
            className="input"
            type="search"
            value={query.search}
            onChange={(event) => set("search", event.target.value)}
            placeholder="Check, node, owner…"
          />
        </label>
        <Select
          name="Last"
          value={query.state}
          choices={[
            ["", "any"],
            ...[...new Set(checks.map((row) => row.state))].map(
              (state) => [state, labelOf(state)] as const,
            ),
          ]}
          choose={(value) => set("state", value)}
        />
        <Select
          name="Order"
          value={query.sort}
          choices={[...ORDERS].map(([name, { label }]) => [name, label] as const)}
          choose={(value) => set("sort", value)}
        />
      </search>
      <div className="notice">
        <div className="stack">
          <p>
            <strong>Which of these can’t fail?</strong> Faults are made in copies of published rows,
            and each check is asked about them. Nothing is written.
          </p>
          <div className="row">
            <ActButtons
              acts={[
                {
                  label: `Put ${many(rows.length, "check")} of ${many(nodes.length, "node")} to the test`,
                  command: "checks challenge",
                  disabled: mutation.isPending || !nodes.length || nodes.length > TRIED_MAX,
                  begin: () => mutation.mutate({ select: nodes, seconds: SECONDS }),
                },
              ]}
              refused={refused}
            />
            {nodes.length > TRIED_MAX && (
              <span className="muted">
                At most {TRIED_MAX} nodes at once: search for fewer, or use{" "}
                <code>headrace checks challenge</code>.
              </span>
            )}
            {mutation.isPending && (
              <span role="status" className="muted">
                {progress ? progress.what : "Beginning"}… at most {SECONDS} s
              </span>
            )}
          </div>
          {mutation.error && <Refusal problem={mutation.error} />}
        </div>
      </div>
      <Panel
        title="All checks"
        aside={
          <span role="status">
            {many(rows.length, "check")}, {rows.filter((row) => row.state === "failed").length}{" "}
            failed last, {rows.filter((row) => row.runs > 0 && !row.failures).length} never failed
            lately
          </span>
        }
      >
        {rows.length ? (
          <Table label="Checks" columns={COLUMNS} rows={rows} keyOf={keyOf} opens={page} keys />
        ) : (
          <Empty>
            No check is like that.{" "}
            <button type="button" className="button" onClick={clear}>
              Show all
            </button>
          </Empty>
        )}
      </Panel>
    </>
  );
}

function matches(row: Check, query: { search: string; state: string }): boolean {
  const text = `${row.check} ${row.kind} ${row.node} ${row.owner}`.toLowerCase();
  return (
    (!query.state || row.state === query.state) &&
    query.search
      .toLowerCase()
      .split(/\s+/)
      .every((word) => text.includes(word))
  );
}

function compared(a: number | string, b: number | string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function Verdict({ row }: { row: Row }) {
  if (row.tried)
    return (
      <div>
        {row.tried.verdict ? (
          <State of={row.tried.verdict} />
        ) : (
          <span className="muted">not reached in time</span>
        )}
        <div className="muted small">{row.tried.evidence}</div>
      </div>
    );
  if (row.failures) return <span className="muted">It did.</span>;
  return <span className="muted">{row.runs ? "Not seen to fail." : "It never ran."}</span>;
}

function Nothing() {
  return (
    <Panel title="All checks">
      <Empty>
        <strong>No checks to show.</strong> <code>headrace checks suggest</code> proposes checks
        based on the data so far.
      </Empty>
    </Panel>
  );
}
