// One backfill: what it makes and what it leaves out, how far it is, what is done about it, and what is different now.
import { useState } from "react";
import { useParams, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { ActButtons, refusalOf, useRefusedActs } from "../../parts/ActButtons";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { formatEstimate } from "../../parts/durations";
import { Time } from "../../parts/Time";
import { useAsked } from "../../parts/useAsked";
import { many } from "../../parts/words";
import { Log } from "../log/Log";
import { Act, actsOf, type ActName } from "./acts";
import { Facts } from "./Facts";
import { PlannedPartitions } from "./Partitions";
import { Changes, Failures, PublishedNodes, Planned, Skipped } from "./tables";

export type Row = Schema["BackfillResponse"];
const LABELS: Record<ActName, string> = {
  pause: "Pause…",
  resume: "Resume…",
  cancel: "Cancel…",
};

export function Backfill() {
  const { plan = "" } = useParams();
  usePageTitle(`Backfill ${plan}`);
  return (
    <Loaded
      document={useResponse("/api/v1/backfills/{plan}", { path: { plan } })}
      heading={`Backfill ${plan}`}
      name={plan}
    >
      {(row) => <BackfillOf plan={plan} row={row} />}
    </Loaded>
  );
}

function BackfillOf({ plan, row }: { plan: string; row: Row }) {
  const [dialog, setDialog] = useState<ActName | null>(null);
  const refused = useRefusedActs();
  const acts = actsOf(row.state);
  useAsked(
    acts.filter((name) => !refusalOf(refused, `backfills ${name}`)),
    setDialog,
  );
  const attempt = useSearchParams()[0].get("attempt");
  return (
    <div className="stack">
      <Heading
        title={
          <span className="row">
            Backfill {plan} <State of={row.state} />
          </span>
        }
        subtitle={
          <>
            {row.reason} · by {row.by}
            {row.created_at && (
              <>
                {" "}
                · planned <Time at={row.created_at} />
              </>
            )}
            {row.finished_at && (
              <>
                {" "}
                · ended <Time at={row.finished_at} />
              </>
            )}
          </>
        }
      >
        <ActButtons
          acts={acts.map((name) => ({
            label: LABELS[name],
            command: `backfills ${name}`,
            main: name === "resume",
            begin: () => setDialog(name),
          }))}
          refused={refused}
        />
      </Heading>
      <Status row={row} />
      {row.notes.map((note) => (
        <div key={note} className="notice">
          <p>{note}</p>
        </div>
      ))}
      <div className="columns">
        <div className="stack">
          {row.failures.length > 0 && <Failures rows={row.failures} />}
          {attempt && <Log key={attempt} attempt={attempt} />}
          {row.made && (
            <Panel title="Published partitions" aside={row.made.text}>
              <PublishedNodes rows={row.assets} changes={row.changes} />
            </Panel>
          )}
          {row.changed && !(row.made && row.changes.length) && (
            <Panel
              title="What changed"
              aside={`${many(row.changed.partitions, "partition")} of other content`}
            >
              {row.changes.length ? (
                <Changes rows={row.changes} />
              ) : (
                <Empty>
                  <strong>Nothing for readers.</strong> The recomputed partitions have the same rows
                  as the published ones.
                </Empty>
              )}
            </Panel>
          )}
          <Panel title="Plan" aside={`${row.counts.text}; ${row.mode}`}>
            <Planned rows={row.assets} />
          </Panel>
          {row.skipped.length > 0 && (
            <Panel
              title="Skipped partitions"
              aside={many(
                row.skipped.reduce((sum, row) => sum + row.partitions, 0),
                "partition",
              )}
            >
              <Skipped rows={row.skipped} />
            </Panel>
          )}
          <PlannedPartitions plan={plan} total={row.partitions_total} />
        </div>
        <Facts row={row} />
      </div>
      {dialog && <Act act={dialog} plan={plan} row={row} close={() => setDialog(null)} />}
    </div>
  );
}

function Status({ row }: { row: Row }) {
  const left = row.remaining;
  if (row.state === "awaiting_approval")
    return (
      <div className="notice tone-warn">
        <p>
          <strong>Waits for an approval:</strong>{" "}
          {row.approval ? (
            <>
              {row.approval.rule} (
              <code>
                {row.approval.file}:{row.approval.line}
              </code>
              )
            </>
          ) : (
            "policy asks for one"
          )}
          . Nothing is computed before.
        </p>
      </div>
    );
  if (row.state === "cancelled" && !row.published)
    return (
      <div className="notice">
        <p>
          <strong>Cancelled.</strong> Readers see what they saw before.
        </p>
      </div>
    );
  if (row.state === "planned")
    return (
      <div className="notice">
        <p>
          <strong>Planned, not begun.</strong>
        </p>
      </div>
    );
  return (
    <div className="notice">
      <div className="stack" style={{ flex: 1, gap: "var(--space-2)" }}>
        <p>
          <strong>
            {row.published.toLocaleString("en")} of {row.partitions_total.toLocaleString("en")}{" "}
            partitions published
          </strong>
          {row.failed > 0 && `, ${row.failed.toLocaleString("en")} couldn’t be published`}
          {row.redone > 0 &&
            `, ${row.redone.toLocaleString("en")} recomputed, for their inputs changed meanwhile`}
          . {row.steps > 1 && `Step ${Math.min(row.steps_done + 1, row.steps)} of ${row.steps}. `}
          {left && (
            <>
              Ends in {formatEstimate(left)}, about{" "}
              <Time at={new Date(Date.parse(row.now) + left.seconds * 1000).toISOString()} />.{" "}
            </>
          )}
          {row.state === "paused" && "No other partition begins until it is resumed."}
        </p>
        <progress
          aria-label="Published"
          max={row.partitions_total || 1}
          value={row.published}
          style={{ width: "100%" }}
        />
      </div>
    </div>
  );
}
