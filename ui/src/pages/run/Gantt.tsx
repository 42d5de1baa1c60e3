// A run's attempts over time: each a bar of phases that follow each other, all on one axis.
import { Link, useSearchParams } from "react-router";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { nodePartition, partitionRange } from "../../parts/partitions";
import { axisOf, triesOf, type Attempt, type Axis } from "./attempts";
import "../../parts/ledger.css";
import "./gantt.css";

const PHASES = {
  retry: "waits to be tried again",
  queue: "waits for a slot",
  dispatch: "comes to a worker",
  run: "runs",
  audit: "is checked",
  publish: "is published",
} as const;

type Props = {
  attempts: readonly Attempt[];
  /** The attempts on the critical path. */
  onPath: readonly string[];
};

export function Gantt({ attempts, onPath }: Props) {
  const critical = new Set(onPath);
  const [params] = useSearchParams();
  const axis = axisOf(attempts);
  const tries = triesOf(attempts);
  const log = (attempt: Attempt) =>
    `?${new URLSearchParams([...[...params].filter(([name]) => name !== "attempt"), ["attempt", attempt.id]])}`;
  const columns: readonly Column<Attempt>[] = [
    {
      name: "Node",
      className: "of-node",
      cell: (row) => (
        <div>
          <Link to={`/assets/${encodeURIComponent(row.node)}`}>{row.node}</Link>
          <div className="muted small">
            {[partitionRange(row.partitions), tryText(tries.get(row.id))]
              .filter(Boolean)
              .join(", ")}
            {critical.has(row.id) && <div>on the critical path</div>}
          </div>
        </div>
      ),
    },
    { name: "State", className: "of-state", cell: (row) => <State of={row.state} /> },
    {
      name: `Over ${formatDuration(axis.seconds)}`,
      className: "bars",
      cell: (row) => <Bar attempt={row} axis={axis} critical={critical.has(row.id)} />,
    },
    {
      name: "Duration",
      className: "number duration",
      cell: (row) => formatDuration(row.phases.reduce((sum, phase) => sum + phase.seconds, 0)),
    },
    {
      name: "Rows",
      className: "number rows",
      cell: (row) => row.rows?.toLocaleString("en") ?? "",
    },
    {
      name: "Log",
      className: "to-log",
      cell: (row) => (
        <Link
          to={log(row)}
          preventScrollReset
          aria-label={`Log of ${nodePartition(row.node, row.partitions[0])}`}
          aria-current={params.get("attempt") === row.id ? "true" : undefined}
        >
          Log
        </Link>
      ),
    },
  ];
  return (
    <div className="gantt">
      <Table
        label="Attempts"
        columns={columns}
        rows={attempts}
        keyOf={(row) => row.id}
        opens={(row) => log(row)}
        keys
      />
      <p className="row small muted" style={{ padding: "var(--space-3) var(--space-4)" }}>
        {Object.entries(PHASES).map(([kind, meaning]) => (
          <span key={kind}>
            <span className={`swatch phase ${kind}`} />
            {kind}: {meaning}
          </span>
        ))}
        {critical.size > 0 && (
          <span>
            <span className="swatch critical" />
            framed: on the critical path
          </span>
        )}
      </p>
    </div>
  );
}

const tryText = (number = 1) => (number > 1 ? `try ${number}` : "");

function Bar({ attempt, axis, critical }: { attempt: Attempt; axis: Axis; critical: boolean }) {
  const phases = attempt.phases
    .map((phase) => `${phase.kind} ${formatDuration(phase.seconds)}`)
    .join(", ");
  const begins = Date.parse(attempt.phases[0]?.from ?? "");
  const lasted = attempt.phases.reduce((sum, phase) => sum + phase.seconds, 0);
  const label = critical ? `${phases}, on the critical path` : phases;
  return (
    <div className="bar" role="img" aria-label={label} title={label}>
      {critical && <span className="critical" style={placed(begins, lasted, axis)} />}
      {attempt.phases.map((phase) => (
        <span
          key={phase.kind}
          className={`phase ${phase.kind}`}
          style={placed(Date.parse(phase.from), phase.seconds, axis)}
        />
      ))}
    </div>
  );
}

/** Where a span of time is on the axis, at least two pixels wide. */
function placed(from: number, seconds: number, axis: Axis) {
  const left = ((from - axis.from) / 1000 / axis.seconds) * 100;
  return {
    left: `min(${left}%, calc(100% - 2px))`,
    width: `max(${(seconds / axis.seconds) * 100}%, 2px)`,
  };
}
