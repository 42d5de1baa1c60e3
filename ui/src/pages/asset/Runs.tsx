// What was attempted of a node.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Time } from "../../parts/Time";
import { partitionName } from "../../parts/partitions";

type Run = Schema["RunRow"];
/** So many of the newest attempts are shown. */
const SHOWN = 200;

const RUNS: readonly Column<Run>[] = [
  { name: "State", cell: (row) => <State of={row.state} /> },
  {
    name: "Partition",
    cell: (row) => <span className="mono asset-grain">{partitionName(row.partition ?? "")}</span>,
  },
  {
    name: "Run",
    cell: (row) => (
      <div>
        <Link to={addressOf("run", row.run_id)}>{row.run_id}</Link>
        <div className="muted small">
          {row.run_kind}, {row.actor}
        </div>
      </div>
    ),
  },
  { name: "At", cell: (row) => <Time at={row.at} /> },
  {
    name: "Duration",
    className: "number",
    cell: (row) => (row.seconds === null ? "" : formatDuration(row.seconds)),
  },
  { name: "Rows", className: "number", cell: (row) => row.rows?.toLocaleString("en") ?? "" },
  { name: "Why", className: "why", cell: (row) => row.reason ?? row.error?.message ?? "" },
];

export function Runs({ name }: { name: string }) {
  return (
    <Loaded document={useResponse("/api/v1/runs", { query: { node: name, limit: SHOWN } })}>
      {(rows) => (
        <Panel title="Runs" aside={rows.length < SHOWN ? `${rows.length}` : `the newest ${SHOWN}`}>
          {rows.length ? (
            <Table
              label="Runs"
              columns={RUNS}
              rows={rows}
              keyOf={(row) => `${row.attempt ?? ""} ${row.partition ?? ""}`}
            />
          ) : (
            <Empty>
              Nothing of it was attempted lately. <code>{`headrace run ${name}`}</code> does it now.
            </Empty>
          )}
        </Panel>
      )}
    </Loaded>
  );
}
