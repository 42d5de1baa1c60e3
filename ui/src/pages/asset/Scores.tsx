// How far a source can be relied on, each score beside what it is made of; never blended into one.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { many } from "../../parts/words";
import { ScoresByWeek } from "./ScoresByWeek";

type Row = Schema["SourceScoreRow"];

export function Scores({ name }: { name: string }) {
  return (
    <Loaded
      document={useResponse("/api/v1/figures/{figure}", {
        path: { figure: "sources" },
        query: { select: [name] },
      })}
    >
      {({ rows, said: notes, window }) => {
        const row = (rows as Row[]).find((row) => row.source === name);
        return (
          <>
            <Panel
              title="Reliability"
              aside={<Link to="/figures/sources">All sources, last {window}</Link>}
            >
              {row ? (
                <Of row={row} notes={notes} />
              ) : (
                <Empty>Nothing is scored of it: nobody is served by it.</Empty>
              )}
            </Panel>
            {row && <ScoresByWeek row={row} />}
          </>
        );
      }}
    </Loaded>
  );
}

function Of({ row, notes }: { row: Row; notes: readonly string[] }) {
  const deliveries = `?${new URLSearchParams({ part: "deliveries" })}`;
  return (
    <div className="body stack">
      <dl className="facts">
        <dt>Utility</dt>
        <dd>
          {many(row.consumers, "consumer")} {row.consumers === 1 ? "needs" : "need"} it;{" "}
          {many(row.reads, "read")} seen. <Link to="?part=around">Who reads it</Link>
        </dd>
        <dt>Stability</dt>
        <dd>
          <Score of={row.stability} />
          {row.on_time} of {row.expected} on time, {row.missing} missing; {row.changed} of{" "}
          {many(row.deliveries, "delivery", "deliveries")} changed in shape or restated.{" "}
          <Link to={deliveries}>Which</Link>
        </dd>
        <dt>Quality</dt>
        <dd>
          <Score of={row.quality} />
          {row.rows_accepted.toLocaleString("en")} rows accepted,{" "}
          {row.rows_refused.toLocaleString("en")} held or rejected, about{" "}
          {row.rows_missing.toLocaleString("en")} missing.{" "}
          <Link to="?part=partitions">Partitions</Link>
        </dd>
      </dl>
      {notes.map((line) => (
        <p key={line} className="muted small">
          {line}
        </p>
      ))}
    </div>
  );
}

function Score({ of }: { of: string | null }) {
  return of === null ? (
    <>not scored yet; </>
  ) : (
    <>
      <strong>at least {of}</strong>;{" "}
    </>
  );
}
