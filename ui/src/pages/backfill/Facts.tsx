import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { Command } from "../../parts/Command";
import { Panel } from "../../parts/Page";
import { formatDuration, formatEstimate } from "../../parts/durations";

/** Whom a backfill reaches, how long it takes and by what that is known, and whether somebody has to approve of it. */
export function Facts({ row }: { row: Schema["BackfillResponse"] }) {
  const { consumers, owners } = row.affects;
  return (
    <Panel title="Reach and cost">
      <dl className="facts body">
        <dt>Consumers</dt>
        <dd>
          {consumers.length
            ? consumers.map((name, index) => (
                <span key={name}>
                  {index > 0 && ", "}
                  <Link to={`/consumers/${encodeURIComponent(name)}`}>{name}</Link>
                </span>
              ))
            : "none"}
        </dd>
        <dt>Owners</dt>
        <dd>{owners.join(", ") || "nobody"}</dd>
        {row.estimate?.known && (
          <>
            <dt>Estimated</dt>
            <dd>
              {formatEstimate(row.estimate)}
              <p className="muted small">{row.estimate.basis}</p>
            </dd>
          </>
        )}
        {row.started_at && row.finished_at && (
          <>
            <dt>Took</dt>
            <dd>
              {formatDuration((Date.parse(row.finished_at) - Date.parse(row.started_at)) / 1000)}
            </dd>
          </>
        )}
        {row.bytes_estimate !== null && (
          <>
            <dt>Writes</dt>
            <dd>
              about {(row.bytes_estimate / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })}{" "}
              MB
            </dd>
          </>
        )}
        <dt>Published</dt>
        <dd>
          {row.publishes.replaceAll("_", " ")}
          {row.steps > 1 && `, in ${row.steps} steps`}
        </dd>
        <dt>Approval</dt>
        <dd>
          {row.approval ? (
            <>
              needed: {row.approval.rule} (
              <code>
                {row.approval.file}:{row.approval.line}
              </code>
              )
            </>
          ) : row.needs_approval ? (
            "needed by policy"
          ) : (
            "not needed"
          )}
        </dd>
        {row.command && (
          <>
            <dt>The same by hand</dt>
            <dd>
              <Command text={row.command} />
            </dd>
          </>
        )}
      </dl>
    </Panel>
  );
}
