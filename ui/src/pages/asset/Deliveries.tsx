// What arrived at a source: when, against when it was expected; and what became of it.
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { DeviationChart } from "../../parts/DeviationChart";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration, longestOf } from "../../parts/durations";
import { Time } from "../../parts/Time";
import { partitionName } from "../../parts/partitions";
import { Drift } from "./Drift";
import { Learnt } from "./Learnt";
import { Scores } from "./Scores";

type Row = Schema["DeliveryRow"];
/** As many as are drawn. */
const SHOWN = 60;
const keyOf = (row: Row) => `${row.partition} ${row.path} ${row.observed_at}`;

export function Deliveries({ name, learnt }: { name: string; learnt: Schema["LearntRow"] | null }) {
  return (
    <>
      <Loaded
        document={useResponse("/api/v1/deliveries/{source}", {
          path: { source: name },
          query: { limit: SHOWN },
        })}
      >
        {(rows) =>
          rows.length ? (
            <Arrivals rows={rows} />
          ) : (
            <Panel title="Deliveries">
              <Empty>
                <strong>Nothing has arrived yet.</strong> <code>{`headrace why ${name}`}</code> says
                where it is looked for, and when last.
              </Empty>
            </Panel>
          )
        }
      </Loaded>
      {learnt && <Learnt row={learnt} />}
      <Drift name={name} />
      <Scores name={name} />
    </>
  );
}

function Arrivals({ rows }: { rows: readonly Row[] }) {
  const [params, setParams] = useSearchParams();
  const choose = (delivery: string) =>
    setParams((last) => ({ ...Object.fromEntries(last), delivery }), {
      replace: true,
      preventScrollReset: true,
    });
  const item = rows.find((row) => keyOf(row) === params.get("delivery"));
  const awaited = rows.some((row) => row.expected_at !== null);
  return (
    <Panel title="Deliveries" aside="the newest at the right">
      {awaited && (
        <DeviationChart
          label="Expected arrivals"
          line={rows[0]?.promised ? "promised time" : "usual time"}
          marks={rows.map(markOf)}
          chosen={item ? keyOf(item) : null}
          choose={choose}
        />
      )}
      {item && (
        <div
          className="body chosen"
          role="region"
          aria-label={`Delivery ${partitionName(item.partition)}`}
        >
          <Chosen row={item} />
        </div>
      )}
      <details open={!awaited}>
        <summary>As a table ({rows.length < SHOWN ? rows.length : `the newest ${SHOWN}`})</summary>
        <Table label="Deliveries" columns={columnsOf(rows)} rows={rows} keyOf={keyOf} />
      </details>
    </Panel>
  );
}

function lateSeconds(row: Row): number | null {
  return row.expected_at === null
    ? null
    : (Date.parse(row.at) - Date.parse(row.expected_at)) / 1000;
}

const markOf = (row: Row) => ({
  key: keyOf(row),
  name: partitionName(row.partition),
  state: row.state,
  seconds: lateSeconds(row),
});

function distance(row: Row, longest = 0): string {
  const seconds = lateSeconds(row);
  if (seconds === null) return "";
  const duration = formatDuration(Math.abs(seconds), longest);
  if (seconds <= 0) return `${duration} before`;
  // without a time of its own it may have been there before it was found
  const undated = Date.parse(row.claimed_at) >= Date.parse(row.observed_at);
  return `${undated ? "at most " : ""}${duration} after`;
}

const columnsOf = (rows: readonly Row[]): readonly Column<Row>[] => [
  { name: "State", cell: (row) => <State of={row.state} /> },
  {
    name: "Partition",
    cell: (row) => <span className="mono asset-grain">{partitionName(row.partition)}</span>,
  },
  { name: "Arrived", cell: (row) => <Time at={row.at} /> },
  {
    name: "Deviation",
    className: "number",
    cell: (row) => distance(row, longestOf(rows.map(lateSeconds))),
  },
  { name: "File", className: "why", cell: (row) => <File row={row} /> },
  { name: "Rows", className: "number", cell: (row) => row.rows?.toLocaleString("en") ?? "" },
  { name: "Why", className: "why", cell: (row) => row.reason ?? "" },
];

function File({ row }: { row: Row }) {
  return (
    <>
      <code>{row.path}</code>
      {row.files > 1 && ` and ${row.files - 1} more`}
      {row.received && (
        <div className="muted small">
          handed in by {row.received.actor}: {row.received.reason}
        </div>
      )}
    </>
  );
}

function Chosen({ row }: { row: Row }) {
  return (
    <>
      <h3 className="row">
        <span className="mono">{partitionName(row.partition)}</span> <State of={row.state} />
      </h3>
      {row.reason && <p>{row.reason}</p>}
      <dl className="facts">
        <dt>Arrived</dt>
        <dd>
          <Time at={row.at} />
          {distance(row) && `, ${distance(row)} the ${row.promised ? "promised" : "usual"} time`}
        </dd>
        {row.expected_at && (
          <>
            <dt>{row.promised ? "Promised by" : "Usually by"}</dt>
            <dd>
              <Time at={row.expected_at} />
            </dd>
          </>
        )}
        <dt>Its own time</dt>
        <dd>
          <Time at={row.claimed_at} />
        </dd>
        <dt>File</dt>
        <dd>
          <File row={row} />
        </dd>
        <dt>Size</dt>
        <dd>
          {row.size_bytes === null ? "not known" : `${row.size_bytes.toLocaleString("en")} bytes`}
          {row.rows !== null && `, ${row.rows.toLocaleString("en")} rows`}
        </dd>
        {row.sha256 && (
          <>
            <dt>SHA-256</dt>
            <dd>
              <code>{row.sha256}</code>
            </dd>
          </>
        )}
      </dl>
    </>
  );
}
