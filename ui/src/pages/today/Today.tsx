// The first screen: who waits, since when, why, and what to do about it.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse, useStatus } from "../../api/responses";
import { Command } from "../../parts/Command";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import { ConsumerTable } from "../consumer/ConsumerTable";
import { IncidentTable } from "../incident/IncidentTable";
import { Figures } from "./Figures";
import { Upcoming } from "./Upcoming";
import { daysColumn } from "./days";
import { mostHeldFirst, worstFirst } from "./order";

export function Today() {
  const status = useStatus();
  usePageTitle("Today");
  return (
    <Loaded document={status} heading="Today">
      {(document) => <TodayOf document={document} />}
    </Loaded>
  );
}

function TodayOf({ document }: { document: Schema["StatusResponse"] }) {
  const incidents = useResponse("/api/v1/incidents", {});
  const today = useResponse("/api/v1/today", {});
  const risks = document.consumers.filter((consumer) => consumer.risk);
  if (!document.consumers.length) return <NoConsumers document={document} />;
  return (
    <div className="stack">
      <Heading
        title={<span aria-live="polite">{document.headline}</span>}
        subtitle={<Subtitle document={document} />}
      />
      <Panel title="Consumers" aside={`${document.consumers.length}, those that wait first`}>
        <ConsumerTable
          rows={worstFirst(document.consumers)}
          keys
          days={today.data && daysColumn(today.data)}
        />
      </Panel>
      <Loaded document={today}>{(next) => <Upcoming document={next} />}</Loaded>
      <Figures document={document} />
      <div className="columns">
        <Panel title="Open incidents" aside="one for each cause">
          <Loaded document={incidents}>
            {(rows) =>
              rows.length ? (
                <IncidentTable rows={mostHeldFirst(rows)} />
              ) : (
                <Empty>
                  None. An incident opens when something is late, held, wrong or fails, one for each
                  cause.
                </Empty>
              )
            }
          </Loaded>
        </Panel>
        <div className="stack">
          {risks.length > 0 && <Risks consumers={risks} />}
          <Held document={document} />
        </div>
      </div>
    </div>
  );
}

function Subtitle({ document }: { document: Schema["StatusResponse"] }) {
  return (
    <>
      {document.runtime !== "running" &&
        document.clock === "live" &&
        "The runtime is stopped: nothing runs until headrace serve or headrace tick does. "}
      {document.observed_at && (
        <>
          Evaluated <Time at={document.observed_at} />.
        </>
      )}
    </>
  );
}

function Risks({ consumers }: { consumers: readonly Schema["ConsumerRow"][] }) {
  return (
    <Panel title="Consumers at risk">
      <ul className="body stack">
        {consumers.map(
          (consumer) =>
            consumer.risk && (
              <li key={consumer.name}>
                <Link to={`/consumers/${encodeURIComponent(consumer.name)}`}>{consumer.name}</Link>{" "}
                {consumer.risk.interval}
                {consumer.risk.due_at && (
                  <>
                    , due <Time at={consumer.risk.due_at} />
                  </>
                )}
                <p className="muted small">{consumer.risk.reason}</p>
              </li>
            ),
        )}
      </ul>
    </Panel>
  );
}

function Held({ document }: { document: Schema["StatusResponse"] }) {
  const { assets, quarantine } = document;
  return (
    <Panel title="Assets and quarantine">
      <div className="body stack">
        <dl className="facts">
          <dt>Assets</dt>
          <dd>
            <Link to="/assets">
              {assets.fresh} fresh · {assets.behind} behind · {assets.stale} stale · {assets.never}{" "}
              never; {assets.unchecked} of these unchecked
            </Link>
          </dd>
          <dt>Quarantine</dt>
          <dd>
            {many(quarantine.deliveries, "delivery", "deliveries")},{" "}
            {many(quarantine.partitions, "partition")}, {many(quarantine.rows, "row")}
          </dd>
          {document.paused.length > 0 && (
            <>
              <dt>Paused</dt>
              <dd>{document.paused.map((row) => row.node).join(", ")}</dd>
            </>
          )}
          {!!document.not_applied && (
            <>
              <dt>Not applied</dt>
              <dd>
                {many(document.not_applied, "node")}; <Link to="/plan">the plan</Link> says what
                applying the files does
              </dd>
            </>
          )}
        </dl>
        {document.next && (
          <div>
            <span className="muted small">The same on the command line</span>
            <Command text={document.next} />
          </div>
        )}
      </div>
    </Panel>
  );
}

/** The first steps of a project, those that are left to do. */
function NoConsumers({ document }: { document: Schema["StatusResponse"] }) {
  const { assets, not_applied: notApplied } = document;
  const applied = Object.values(assets).some((count) => count > 0);
  return (
    <div className="stack">
      <h1>No consumer to show</h1>
      <ol className="empty stack">
        {!applied && (
          <li>
            <strong>Declare a source and an asset</strong> in <code>sources/</code> and{" "}
            <code>assets/</code>. In a new folder, <code>headrace init DIR --from FILE</code>{" "}
            derives them from files of yours.
          </li>
        )}
        <li>
          <strong>Say who needs which data by when</strong> in <code>consumers.yaml</code>, with the
          names of your assets:
          <pre className="mono">
            {'- consumer: REPORT\n  owner: TEAM\n  reads: [ASSET]\n  due: "07:00"'}
          </pre>
        </li>
        <li>
          <strong>Apply the files:</strong> <code>headrace apply</code>, or{" "}
          <Link to="/plan">Plan</Link>.{" "}
          {notApplied === null && "They have errors now; the plan lists them. "}
          {!!notApplied && `${many(notApplied, "node")} not applied yet. `}
          Then this page says who has their data, and why others wait.
        </li>
      </ol>
    </div>
  );
}
