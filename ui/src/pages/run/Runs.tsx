import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { usePages } from "../../api/responses";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { MoreButton } from "../../parts/MoreButton";
import { State, labelOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Since, Time } from "../../parts/Time";

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
        {counted(row.attempts)}
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

export function Runs() {
  usePageTitle("Runs");
  const [params, setParams] = useSearchParams();
  const failed = params.has("failed");
  const response = usePages("/api/v1/runs/list", (cursor) => ({
    query: { failed, ...(cursor ? { cursor } : {}) },
  }));
  const rows = response.pages.flatMap((page) => page.runs);
  return (
    <div className="stack">
      <Heading
        title="Runs"
        subtitle="What ran, newest first. A run that succeeded says nothing about service: Today does."
      >
        <label>
          <input
            type="checkbox"
            checked={failed}
            onChange={() => setParams(failed ? {} : { failed: "" }, { replace: true })}
          />{" "}
          only those that didn’t succeed
        </label>
      </Heading>
      <Panel
        title={failed ? "Runs that didn’t succeed" : "All runs"}
        aside={response.isFetching && rows.length > 0 ? "looking…" : undefined}
      >
        {response.error && <Refusal problem={response.error} stale={rows.length > 0} />}
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
        {response.pages.length > 0 &&
          !rows.length &&
          (failed ? (
            <Empty>
              <strong>None.</strong> Every run succeeded, or had nothing to do.
            </Empty>
          ) : (
            <Empty>
              <strong>Nothing has run yet.</strong> <code>headrace serve</code> runs what is due by
              itself; <code>headrace run ASSET</code> runs it now.
            </Empty>
          ))}
        {!response.pages.length && !response.error && (
          <p className="empty" role="status">
            Loading…
          </p>
        )}
        <MoreButton of={response} label="Older ones" />
      </Panel>
    </div>
  );
}

function counted(attempts: Row["attempts"]): string {
  return (
    attempts
      .map((attempt) => `${attempt.count.toLocaleString("en")} ${labelOf(attempt.value)}`)
      .join(", ") || "none"
  );
}
