// The attempt that failed: its error with the line of code, and the end of its log, which holds the traceback.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Loaded, Panel } from "../../parts/Page";
import { many } from "../../parts/words";
import { Why } from "../log/Log";

type Row = Schema["IncidentRow"];
type Run = Schema["RunRow"];
const FAILURES = [
  "code_error",
  "resource_exhausted",
  "worker_lost",
  "configuration_error",
  "destination_unavailable",
  "poison_delivery",
  "unknown",
];
/** The end of a log that is shown here; the page of the run has all of it. */
const LINES = 40;

/** Nothing where the cause isn't a failed attempt, or its attempts aren't kept any more. */
export function Failed({ row }: { row: Row }) {
  return FAILURES.includes(row.cause.kind) ? <FailedOf row={row} /> : null;
}

function FailedOf({ row: { cause, affected } }: { row: Row }) {
  const keys = new Set([cause.partition ?? "*", ...affected.partitions]);
  return (
    <Loaded
      document={useResponse("/api/v1/runs", {
        query: { node: cause.node, failed: true, limit: 50 },
      })}
    >
      {(rows) => {
        const failed = rows.find(
          (row) => row.attempt && row.error && keys.has(row.partition ?? "*"),
        );
        return failed?.attempt && <Attempt run={failed} attempt={failed.attempt} />;
      }}
    </Loaded>
  );
}

function Attempt({ run, attempt }: { run: Run; attempt: string }) {
  const log = useResponse("/api/v1/attempts/{attempt}/logs", {
    path: { attempt },
    query: { line: -LINES, limit: LINES },
  });
  const whole = `/runs/${encodeURIComponent(run.run_id)}?${new URLSearchParams({ attempt })}`;
  return (
    <Panel
      title="Failed attempt"
      aside={
        <>
          {run.node} {run.partition}, <Link to={whole}>attempt {attempt}, the whole log</Link>
        </>
      }
    >
      {run.error && <Why error={run.error} />}
      <Loaded document={log}>
        {({ lines, total }) =>
          lines.length > 0 && (
            <div className="body">
              <p className="muted small">
                The last {many(lines.length, "line")} of {total.toLocaleString("en")}
              </p>
              <pre
                className="mono small"
                style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}
                tabIndex={0}
                role="group"
                aria-label="Log end"
              >
                {lines.map((line) => line.text).join("\n")}
              </pre>
            </div>
          )
        }
      </Loaded>
    </Panel>
  );
}
