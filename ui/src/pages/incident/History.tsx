// What was usual before: the history that a cause stands out from, with the partitions that it is about marked.
import { useNavigate } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { DeviationChart } from "../../parts/DeviationChart";
import { Loaded, Panel } from "../../parts/Page";
import { Series } from "../../parts/Series";
import { formatDuration, roundIn } from "../../parts/durations";
import { figureName, formatBytes, formatOf } from "../../parts/figureNames";
import { many } from "../../parts/words";
import { WHOLE, partitionName } from "../../parts/partitions";

type Row = Schema["IncidentRow"];
type Run = Schema["RunRow"];
const ARRIVALS = ["late_source", "missing_source", "source_unavailable", "access_denied"];
const ROWS = ["duplicate_rows", "stale_data"];
const FIGURES = ["null_spike", "distribution_shift", "volume_anomaly"];
const RESOURCES = "resource_exhausted";
const USED = ["slow_run", RESOURCES];
/** So many points are drawn. */
const POINTS = 60;

/** Nothing where the cause isn't one of figures over time. */
export function History({ row }: { row: Row }) {
  if (ARRIVALS.includes(row.cause.kind)) return <Arrivals row={row} />;
  if (ROWS.includes(row.cause.kind)) return <Rows row={row} />;
  if (FIGURES.includes(row.cause.kind)) return <Figures row={row} />;
  return USED.includes(row.cause.kind) ? <Used row={row} /> : null;
}

function Arrivals({ row: { cause, affected } }: { row: Row }) {
  const navigate = useNavigate();
  const awaited = [
    ...new Set([...(cause.partition === null ? [] : [cause.partition]), ...affected.partitions]),
  ]
    .toSorted()
    .toReversed();
  return (
    <Loaded
      document={useResponse("/api/v1/deliveries/{source}", {
        path: { source: cause.node },
        query: { limit: POINTS },
      })}
    >
      {(rows) => {
        const marks = rows.flatMap((row) =>
          row.expected_at
            ? [
                {
                  key: `${row.partition} ${row.path} ${row.observed_at}`,
                  name: partitionName(row.partition),
                  state: row.state,
                  seconds: (Date.parse(row.at) - Date.parse(row.expected_at)) / 1000,
                },
              ]
            : [],
        );
        const missing = awaited
          .filter((key) => !rows.some((row) => row.partition === key))
          .map((key) => ({ key, name: partitionName(key), state: "missing", seconds: null }));
        const all = [...missing, ...marks];
        if (!marks.length) return null;
        const open = (delivery: string) =>
          void navigate(
            `/sources/${encodeURIComponent(cause.node)}?${new URLSearchParams({ part: "deliveries", delivery })}`,
          );
        return (
          <Panel title="Earlier arrivals" aside="the newest at the right">
            <DeviationChart
              label="Expected arrivals"
              line={rows[0]?.promised ? "promised time" : "usual time"}
              marks={all}
              chosen={missing[0]?.key ?? null}
              choose={open}
            />
          </Panel>
        );
      }}
    </Loaded>
  );
}

function Rows({ row: { cause, affected } }: { row: Row }) {
  const marked = new Set([cause.partition, ...affected.partitions]);
  return (
    <Loaded
      document={useResponse("/api/v1/assets/{name}/partitions", {
        path: { name: cause.node },
        query: { limit: POINTS },
      })}
    >
      {({ partitions }) =>
        partitions.length > 1 && (
          <Panel title="Earlier row counts" aside="of what readers see">
            <Series
              label={`Rows of ${cause.node}`}
              quantity="Rows"
              format={(value) => many(value, "row")}
              points={partitions.toReversed().map((partition) => ({
                name: partition.partition,
                value: partition.rows,
                marked: marked.has(partition.partition),
              }))}
            />
          </Panel>
        )
      }
    </Loaded>
  );
}

/** What the evidence is of: the history, what was expected of the odd partition, and what it came to. */
function Figures({ row: { id } }: { row: Row }) {
  return (
    <Loaded
      document={useResponse("/api/v1/incidents/{incident}/figures", { path: { incident: id } })}
    >
      {(rows) => (
        <>
          {rows.map((row) => (
            <Figure key={row.column} incidentFigure={row} />
          ))}
        </>
      )}
    </Loaded>
  );
}

function Figure({ incidentFigure: row }: { incidentFigure: Schema["IncidentFigureRow"] }) {
  const format = formatOf(row.unit);
  const quantity = figureName(row.figure, row.category);
  const title = row.column === null ? quantity : `${quantity} in ${row.column}`;
  return (
    <Panel
      title={title}
      aside={
        <>
          {row.partition !== WHOLE && `${row.partition}: `}expected{" "}
          <strong>{format(row.expected)}</strong>, observed <strong>{format(row.observed)}</strong>
        </>
      }
    >
      <Series
        label={title}
        quantity={quantity}
        format={format}
        expected={row.expected}
        points={row.points.map((point) => ({
          name: point.partition,
          value: point.value,
          marked: point.odd,
        }))}
      />
    </Panel>
  );
}

const isMeasured = (row: Run) => row.peak_memory_bytes !== null;

/** What earlier attempts took: memory, too, where it ran out. */
function Used({ row: { cause, affected } }: { row: Row }) {
  const marked = new Set([cause.partition, ...affected.partitions]);
  const pointsOf = (rows: readonly Run[], valueOf: (row: Run) => number | null) =>
    // a run's attempts are listed in their order, runs the newest first
    rows
      .toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at))
      .map((row) => ({
        name: `${partitionName(row.partition ?? WHOLE)} (${row.attempt ?? "no attempt"})`,
        value: valueOf(row),
        marked: marked.has(row.partition),
      }));
  return (
    <Loaded document={useResponse("/api/v1/runs", { query: { node: cause.node, limit: POINTS } })}>
      {(rows) =>
        rows.length > 1 && (
          <>
            {cause.kind === RESOURCES && rows.some(isMeasured) && (
              <Panel title="Earlier memory use" aside="the worker’s peak during each attempt">
                <Series
                  label={`Memory that ${cause.node} used`}
                  quantity="Memory"
                  format={formatBytes}
                  points={pointsOf(rows.filter(isMeasured), (row) => row.peak_memory_bytes)}
                />
              </Panel>
            )}
            <Panel title="Earlier durations">
              <Series
                label={`How long ${cause.node} took`}
                quantity="Duration"
                format={formatDuration}
                unitOf={roundIn}
                points={pointsOf(rows, (row) => row.seconds)}
              />
            </Panel>
          </>
        )
      }
    </Loaded>
  );
}
