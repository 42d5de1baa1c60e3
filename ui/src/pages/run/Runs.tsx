import type { ReactNode } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { usePages, useResponse } from "../../api/responses";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { MoreButton } from "../../parts/MoreButton";
import { FilterSelect } from "../../parts/Select";
import { State, labelOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Series } from "../../parts/Series";
import { formatDuration } from "../../parts/durations";
import { useFilters } from "../../parts/filters";
import "../../parts/filters.css";
import { Since, Time } from "../../parts/Time";
import { minuteText } from "../../parts/times";
import { visibleText } from "../../parts/visible";
import { useZone } from "../../parts/zone";
import { RunGrid } from "./RunGrid";
import { Typed } from "./Typed";

type Row = Schema["RunLine"];
const page = (row: Row) => `/runs/${encodeURIComponent(row.run_id)}`;

const COLUMNS: readonly Column<Row>[] = [
  {
    name: "Run",
    cell: (row) => (
      <Link to={page(row)}>
        {row.kind} {row.run_id}
      </Link>
    ),
  },
  { name: "State", cell: (row) => <State of={row.state} /> },
  {
    name: "Attempts",
    className: "why",
    cell: (row) => (
      <>
        <Attempts of={row.attempts} />
        {row.reason && <div className="muted small">cancelled: {row.reason}</div>}
      </>
    ),
  },
  { name: "By", cell: (row) => row.actor },
  { name: "Began", cell: (row) => <Time at={row.started_at} /> },
  {
    name: "Duration",
    className: "number",
    cell: (row) =>
      row.finished_at ? (
        formatDuration((Date.parse(row.finished_at) - Date.parse(row.started_at)) / 1000)
      ) : row.state === "running" ? (
        <Since at={row.started_at} suffix="so far" />
      ) : (
        ""
      ),
  },
];

const FILTERS = ["node", "owner", "state", "kind", "actor", "since", "until"] as const;
type Name = (typeof FILTERS)[number];
const STATES = ["running", "succeeded", "partial", "failed", "lost", "cancelled", "nothing_due"];
/** The states of attempts that the grid filters by. */
const CELL_STATES = ["running", "failed", "held", "rejected", "lost", "cancelled", "skipped"];
const KINDS: Readonly<Record<string, string>> = {
  serve: "schedule",
  run: "run",
  tick: "tick",
  receive: "delivery",
  backfill: "backfill",
};
const DAY = /^\d{4}-\d\d-\d\d$/;

export function Runs() {
  usePageTitle("Runs");
  const [params, setParams] = useSearchParams();
  const { values, set } = useFilters(FILTERS);
  const failed = params.has("failed");
  const grid = params.get("view") === "grid";
  const query = queryOf(values, failed);
  const filtered = failed || Object.keys(values).length > 0;
  const states = grid ? CELL_STATES : STATES;
  const change = (edit: (next: URLSearchParams) => void) =>
    setParams(
      (last) => {
        const next = new URLSearchParams(last);
        edit(next);
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  return (
    <div className="stack">
      <Heading
        title="Runs"
        subtitle={
          grid
            ? "The outcome of the last attempt at each partition. A week or a month stands at its first day."
            : "What ran, newest first. A run that succeeded says nothing about service: Today does."
        }
      >
        <Views
          grid={grid}
          choose={(view) =>
            change((next) => {
              if (view) next.set("view", view);
              else next.delete("view");
              // A state that only runs have, or only attempts, filters nothing in the other view.
              const others = view ? CELL_STATES : STATES;
              if (!others.includes(next.get("state") ?? "")) next.delete("state");
            })
          }
        />
      </Heading>
      <RunFilters values={values} set={set} states={states}>
        <label className="check">
          <input
            type="checkbox"
            checked={failed}
            onChange={() =>
              change((next) => {
                if (failed) next.delete("failed");
                else next.set("failed", "");
              })
            }
          />{" "}
          {grid ? "only assets with a failure" : "only those that didn’t succeed"}
        </label>
      </RunFilters>
      {grid ? (
        <Panel title="Assets by day">
          <RunGrid key={JSON.stringify(query)} query={query} filtered={filtered} />
        </Panel>
      ) : (
        <RunList query={query} filtered={filtered} failed={failed} />
      )}
    </div>
  );
}

function Views({ grid, choose }: { grid: boolean; choose: (view: string) => void }) {
  return (
    <div className="row" role="group" aria-label="View">
      {(
        [
          ["", "List"],
          ["grid", "Grid"],
        ] as const
      ).map(([view, text]) => (
        <button
          key={view}
          type="button"
          className="button"
          aria-pressed={grid === (view === "grid")}
          onClick={() => choose(view)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

type Query = ReturnType<typeof queryOf>;

function RunList({
  query,
  filtered,
  failed,
}: {
  query: Query;
  filtered: boolean;
  failed: boolean;
}) {
  const response = usePages("/api/v1/runs/list", (cursor) => ({
    query: { ...query, ...(cursor ? { cursor } : {}) },
  }));
  const rows = response.pages.flatMap((page) => page.runs);
  return (
    <Panel
      title={filtered ? "Matching runs" : "All runs"}
      aside={response.isFetching && rows.length > 0 ? "looking…" : undefined}
    >
      {response.error && <Refusal problem={response.error} stale={rows.length > 0} />}
      <Trend rows={rows.filter(({ state }) => state !== "running")} />
      {rows.length > 0 && (
        <Table
          label="Runs"
          columns={COLUMNS}
          rows={rows}
          keyOf={(row) => row.run_id}
          opens={page}
          keys
        />
      )}
      {response.pages.length > 0 && !rows.length && <NoRuns filtered={filtered} failed={failed} />}
      {!response.pages.length && !response.error && (
        <p className="empty" role="status">
          Loading…
        </p>
      )}
      <MoreButton of={response} label="Older ones" />
    </Panel>
  );
}

/** The filters as a request has them; a date that isn't one filters nothing. */
export function queryOf(values: Partial<Record<Name, string>>, failed: boolean) {
  const { since, until, ...others } = values;
  return {
    failed,
    ...others,
    ...(since && DAY.test(since) ? { since } : {}),
    ...(until && DAY.test(until) ? { until } : {}),
  };
}

type FiltersProps = {
  values: Partial<Record<Name, string>>;
  set: (name: Name, value: string) => void;
  states: readonly string[];
  children: ReactNode;
};

function RunFilters({ values, set, states, children }: FiltersProps) {
  const owners = useResponse("/api/v1/assets", { query: { limit: 1 } }).data?.owners ?? [];
  return (
    <form className="stack" aria-label="Filter runs" onSubmit={(event) => event.preventDefault()}>
      <div className="filters">
        <Typed
          label="Asset or source"
          value={values.node}
          placeholder="a part of a name"
          choose={(node) => set("node", node)}
        />
        <FilterSelect
          name="Owner"
          value={values.owner}
          choices={owners.map(({ value }) => value)}
          choose={(owner) => set("owner", owner)}
        />
        <FilterSelect
          name="State"
          value={values.state}
          choices={states}
          textOf={labelOf}
          choose={(state) => set("state", state)}
        />
        <FilterSelect
          name="Cause"
          value={values.kind}
          choices={Object.keys(KINDS)}
          textOf={(kind) => KINDS[kind] ?? kind}
          choose={(kind) => set("kind", kind)}
        />
        <Typed label="Person" value={values.actor} choose={(actor) => set("actor", actor)} />
        <label>
          First day
          <input
            type="date"
            className="input"
            value={values.since ?? ""}
            onChange={(event) => set("since", event.target.value)}
          />
        </label>
        <label>
          Last day
          <input
            type="date"
            className="input"
            value={values.until ?? ""}
            onChange={(event) => set("until", event.target.value)}
          />
        </label>
      </div>
      {children}
    </form>
  );
}

/** How long the runs took, the oldest at the left; those that didn't succeed are marked. */
function Trend({ rows }: { rows: readonly Row[] }) {
  const zone = useZone().zone ?? "UTC";
  if (rows.length < 2 || rows.every(({ finished_at }) => finished_at === null)) return null;
  const points = rows.toReversed().map((row) => ({
    name: `${row.kind} ${row.run_id}`,
    at: minuteText(row.started_at, zone),
    value: row.finished_at
      ? (Date.parse(row.finished_at) - Date.parse(row.started_at)) / 1000
      : null,
    marked: ["failed", "partial", "lost"].includes(row.state),
  }));
  return (
    <div className="body">
      <div className="row spread">
        <h3>Duration</h3>
        <span className="muted small">by start, {zone}</span>
      </div>
      <Series
        label="Duration of runs"
        quantity="Duration"
        across="Run"
        missing="unknown"
        points={points}
        format={formatDuration}
        open={(name) =>
          name ? `/runs/${encodeURIComponent(name.split(" ").at(-1) ?? "")}` : "/runs"
        }
      />
    </div>
  );
}

function NoRuns({ filtered, failed }: { filtered: boolean; failed: boolean }) {
  if (filtered)
    return (
      <Empty>
        <strong>None.</strong>{" "}
        {failed
          ? "Every run that fits succeeded, or had nothing to do."
          : "No run fits these filters."}
      </Empty>
    );
  return (
    <Empty>
      <strong>Nothing has run yet.</strong> <code>headrace serve</code> runs what is due by itself;{" "}
      <code>headrace run ASSET</code> runs it now.
    </Empty>
  );
}

/** What ran, by its outcome: what didn't succeed first, each with the first names. */
function Attempts({ of }: { of: Row["attempts"] }) {
  if (!of.length) return "none";
  return of.map(({ value, count, nodes, more }) => (
    <div key={value}>
      {count.toLocaleString("en")} {labelOf(value)}
      <span className="muted">
        : {nodes.map(visibleText).join(", ")}
        {more > 0 && ` and ${more.toLocaleString("en")} more`}
      </span>
    </div>
  ));
}
