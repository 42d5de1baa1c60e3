import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { usePages } from "../../api/responses";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { State, wordOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { lasting } from "../../parts/durations";
import { Since, Time } from "../../parts/Time";

type Row = Schema["RunLine"];
const page = (row: Row) => `/runs/${encodeURIComponent(row.run_id)}`;

const COLUMNS: readonly Column<Row>[] = [
  { name: "Run", cell: (row) => <Link to={page(row)}>{row.kind} {row.run_id}</Link> },
  { name: "State", cell: (row) => <State of={row.state} /> },
  { name: "Attempts", className: "why", cell: (row) => <>{counted(row.attempts)}{row.reason && <div className="muted small">cancelled: {row.reason}</div>}</> },
  { name: "By", cell: (row) => row.actor },
  { name: "Began", cell: (row) => <Time at={row.started_at} /> },
  { name: "Lasted", className: "number", cell: (row) => (row.finished_at ? lasting((Date.parse(row.finished_at) - Date.parse(row.started_at)) / 1000) : row.state === "running" ? <Since said="so far" at={row.started_at} /> : "") },
];

export function Runs() {
  usePageTitle("Runs");
  const [params, setParams] = useSearchParams();
  const failed = params.has("failed");
  const found = usePages("/api/v1/runs/list", (cursor) => ({ query: { failed, ...(cursor ? { cursor } : {}) } }));
  const rows = found.pages.flatMap((one) => one.runs);
  return (
    <div className="stack">
      <Heading title="Runs" said="What ran, newest first. A run that succeeded says nothing about service: Today does.">
        <label><input type="checkbox" checked={failed} onChange={() => setParams(failed ? {} : { failed: "" }, { replace: true })} /> only those that didn’t succeed</label>
      </Heading>
      <Panel title={failed ? "Runs that didn’t succeed" : "All runs"} aside={found.isFetching && rows.length > 0 ? "looking…" : undefined}>
        {found.error && <Refusal problem={found.error as never} stale={rows.length > 0} />}
        {rows.length > 0 && <Table label="Runs" columns={COLUMNS} rows={rows} keyOf={(row) => row.run_id} opens={page} keys />}
        {found.data && !rows.length && (failed ? <Empty><strong>None.</strong> Every run succeeded, or had nothing to do.</Empty> : <Empty><strong>Nothing has run yet.</strong> <code>headrace serve</code> runs what is due by itself; <code>headrace run ASSET</code> runs it now.</Empty>)}
        {found.isPending && <p className="empty" role="status">Loading…</p>}
        {found.hasNextPage && <p className="body"><button type="button" className="button" disabled={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>Older ones</button></p>}
      </Panel>
    </div>
  );
}

function counted(attempts: Row["attempts"]): string {
  return attempts.map((one) => `${one.count.toLocaleString("en")} ${wordOf(one.value)}`).join(", ") || "none";
}
