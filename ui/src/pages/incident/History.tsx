// What was usual before: the history that a cause stands out from, with the partitions that it is about marked.
import { useNavigate } from "react-router";
import type { Schema } from "../../api/client";
import { useDocument } from "../../api/documents";
import { Against } from "../../parts/Against";
import { Loaded, Panel } from "../../parts/Page";
import { Series } from "../../parts/Series";
import { lasting } from "../../parts/Time";
import { many } from "../../parts/words";

type Row = Schema["IncidentRow"];
const ARRIVALS = ["late_source", "missing_source", "source_unavailable", "access_denied"];
const ROWS = ["volume_anomaly", "duplicate_rows", "stale_data"];
const SECONDS = ["slow_run", "resource_exhausted"];
/** So many points are drawn. */
const POINTS = 60;

/** Nothing where the cause isn't one of figures over time. */
export function History({ row }: { row: Row }) {
  if (ARRIVALS.includes(row.cause.kind)) return <Arrivals row={row} />;
  if (ROWS.includes(row.cause.kind)) return <Rows row={row} />;
  return SECONDS.includes(row.cause.kind) ? <Seconds row={row} /> : null;
}

function Arrivals({ row: { cause } }: { row: Row }) {
  const navigate = useNavigate();
  return (
    <Loaded document={useDocument("/api/v1/deliveries/{source}", { path: { source: cause.node }, query: { limit: POINTS } })}>
      {(rows) => {
        const marks = rows.flatMap((one) => (one.expected_at ? [{ key: `${one.partition} ${one.path} ${one.observed_at}`, name: one.partition, state: one.state, seconds: (Date.parse(one.at) - Date.parse(one.expected_at)) / 1000 }] : []));
        const missing = cause.partition !== null && !rows.some((one) => one.partition === cause.partition) ? [{ key: cause.partition, name: cause.partition, state: "missing", seconds: null }] : [];
        const all = [...missing, ...marks];
        if (!marks.length) return null;
        const open = (delivery: string) => void navigate(`/sources/${encodeURIComponent(cause.node)}?${new URLSearchParams({ part: "deliveries", delivery })}`);
        return <Panel title="When it came before" aside="the newest at the right"><Against label="Arrivals against expectation" line={rows[0]!.promised ? "promised time" : "usual time"} marks={all} chosen={missing[0]?.key ?? null} choose={open} /></Panel>;
      }}
    </Loaded>
  );
}

function Rows({ row: { cause, affected } }: { row: Row }) {
  const marked = new Set([cause.partition, ...affected.partitions]);
  return (
    <Loaded document={useDocument("/api/v1/assets/{name}/partitions", { path: { name: cause.node }, query: { limit: POINTS } })}>
      {({ partitions }) => partitions.length > 1 && (
        <Panel title="Rows before" aside="of what readers see">
          <Series label={`Rows of ${cause.node}`} of="Rows" said={(value) => many(value, "row")} points={partitions.toReversed().map((one) => ({ name: one.partition, value: one.rows, marked: marked.has(one.partition) }))} />
        </Panel>
      )}
    </Loaded>
  );
}

function Seconds({ row: { cause, affected } }: { row: Row }) {
  const marked = new Set([cause.partition, ...affected.partitions]);
  return (
    <Loaded document={useDocument("/api/v1/runs", { query: { node: cause.node, limit: POINTS } })}>
      {(rows) => rows.length > 1 && (
        <Panel title="How long it took before">
          <Series label={`How long ${cause.node} took`} of="Took" said={lasting} points={rows.toReversed().map((one) => ({ name: `${one.partition} (${one.attempt})`, value: one.seconds, marked: marked.has(one.partition) }))} />
        </Panel>
      )}
    </Loaded>
  );
}
