import { Link } from "react-router";
import { Command } from "../../parts/Command";
import { Panel } from "../../parts/Page";
import { formatEstimate } from "../../parts/durations";
import { Time } from "../../parts/Time";
import type { Row } from "./Plan";

type Estimate = { seconds: number; low: number; high: number; basis: string };

/** Whom a plan reaches, what it starts from, and how long computing again what it invalidates takes. */
export function Facts({ row }: { row: Row }) {
  const { consumers, owners } = row.affects;
  const estimate = row.estimate as Estimate | null;
  return (
    <Panel title="Reach and cost">
      <dl className="facts body">
        {row.plan_id && (
          <>
            <dt>Plan</dt>
            <dd>
              <code>{row.plan_id}</code>
            </dd>
          </>
        )}
        <dt>Starts from</dt>
        <dd>{row.base_version === null ? "nothing" : `version ${row.base_version}`}</dd>
        <dt>Environment</dt>
        <dd>{row.env}</dd>
        {row.now && (
          <>
            <dt>As of</dt>
            <dd>
              <Time at={row.now} />
            </dd>
          </>
        )}
        <dt>Consumers</dt>
        <dd>
          {consumers.map((name, index) => (
            <span key={name}>
              {index > 0 && ", "}
              <Link to={`/consumers/${encodeURIComponent(name)}`}>{name}</Link>
            </span>
          ))}
          {!consumers.length && "none"}
        </dd>
        <dt>Owners</dt>
        <dd>{owners.join(", ") || "nobody"}</dd>
        {estimate && (
          <>
            <dt>To recompute</dt>
            <dd>
              {formatEstimate(estimate)}
              <p className="muted small">{estimate.basis}</p>
            </dd>
          </>
        )}
        {row.next && (
          <>
            <dt>Command</dt>
            <dd>
              <Command text={row.next} />
            </dd>
          </>
        )}
      </dl>
    </Panel>
  );
}
