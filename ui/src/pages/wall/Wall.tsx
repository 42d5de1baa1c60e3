// For a team's screen: who waits and why, large, without anything to press. It follows by itself and
// says when it is stale.
import type { Schema } from "../../api/client";
import { useLive } from "../../api/live";
import { useResponse, useStatus } from "../../api/responses";
import { Age, HeardAt, LivePill } from "../../app/Shell";
import { LoginNeeded } from "../../app/LoginNeeded";
import { Loaded, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Clock, Since, Time } from "../../parts/Time";
import { many } from "../../parts/words";
import { worstFirst } from "../today/order";
import "./wall.css";

/** What fits on a screen without scrolling; the rest is counted. */
const WAITING_MAX = 8;
const DEADLINES_MAX = 4;

type Consumer = Schema["ConsumerRow"];

export function Wall() {
  const status = useStatus();
  const live = useLive();
  usePageTitle("Wall");
  if (status.error?.status === 401) return <LoginNeeded />;
  return (
    <div className="wall" data-live={live.state}>
      <main>
        {live.state === "stale" && (
          <p className="notice tone-warn" role="alert">
            <strong>
              Stale: as of <HeardAt since={live.since} />, <Age since={live.since} /> old. The
              server doesn’t answer.
            </strong>
          </p>
        )}
        <div className="shown">
          <Loaded document={status} heading="Wall">
            {(document) => <WallOf document={document} />}
          </Loaded>
        </div>
      </main>
      <footer>
        {status.data && (
          <span>
            {status.data.project} · {status.data.env} · <Clock now={status.data.now} />{" "}
            {status.data.clock === "replay" && "(replay clock)"}
          </span>
        )}
        <LivePill />
      </footer>
    </div>
  );
}

function WallOf({ document }: { document: Schema["StatusResponse"] }) {
  const rows = worstFirst(document.consumers);
  const waiting = rows.filter(({ state }) => state !== "served");
  const served = rows.filter(({ state }) => state === "served");
  return (
    <>
      <h1>
        <span aria-live="polite">{document.headline}</span>
      </h1>
      {document.runtime !== "running" && document.clock === "live" && (
        <p className="tone-warn">The runtime is stopped: nothing runs.</p>
      )}
      {waiting.length > 0 && (
        <ul className="waiting" aria-label="Consumers that wait">
          {waiting.slice(0, WAITING_MAX).map((row) => (
            <Waiting key={row.name} row={row} />
          ))}
        </ul>
      )}
      {waiting.length > WAITING_MAX && (
        <p>and {many(waiting.length - WAITING_MAX, "other consumer")} not served</p>
      )}
      {served.length > 0 && (
        <p className="served tone-good">
          <State of="served" /> {served.map(({ name }) => name).join(", ")}
        </p>
      )}
      <Next />
    </>
  );
}

function Waiting({ row }: { row: Consumer }) {
  return (
    <li>
      <div className="row">
        <State of={row.state} /> <strong>{row.name}</strong>
        {row.since && (
          <span className="muted">
            <Since at={row.since} suffix="so far" />
          </span>
        )}
      </div>
      <p>{row.reason}</p>
      <p className="muted">
        {row.data_through ? `data through ${row.data_through}` : "no data yet"} · {row.owner}
        {row.risk?.predicted_at && (
          <>
            {" "}
            · expected <Time at={row.risk.predicted_at} />
          </>
        )}
      </p>
    </li>
  );
}

function Next() {
  const today = useResponse("/api/v1/today", {}).data;
  if (!today?.deadlines.length) return null;
  return (
    <section aria-label="Next deadlines" className="next">
      <h2>Next deadlines</h2>
      <ul>
        {today.deadlines.slice(0, DEADLINES_MAX).map((row) => (
          <li key={`${row.consumer} ${row.interval}`}>
            <Time at={row.due_at} /> <strong>{row.consumer}</strong> <State of={row.state} />
          </li>
        ))}
      </ul>
    </section>
  );
}
