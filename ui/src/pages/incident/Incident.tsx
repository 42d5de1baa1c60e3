// One cause: what was expected and seen, whom it holds, what happened, and its repair.
import { useState } from "react";
import { Link, useParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse, useStatus } from "../../api/responses";
import { Command } from "../../parts/Command";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Since, Time } from "../../parts/Time";
import { visibleText } from "../../parts/visible";
import { useAsked } from "../../parts/useAsked";
import { many } from "../../parts/words";
import { WHOLE, nodePartition } from "../../parts/partitions";
import { Failed } from "./Failed";
import { HeldData } from "./HeldData";
import { History } from "./History";
import { Repair } from "./Repair";
import { TicketLink } from "./TicketLink";
import { Timeline } from "./Timeline";

type Row = Schema["IncidentRow"];

export function Incident() {
  const { incident = "" } = useParams();
  usePageTitle(incident);
  return (
    <Loaded
      document={useResponse("/api/v1/incidents/{incident}", { path: { incident } })}
      heading={incident}
    >
      {(row) => <IncidentOf key={row.id} row={row} />}
    </Loaded>
  );
}

const REPAIR = ["repair"] as const;
const NOTHING: readonly "repair"[] = [];

function IncidentOf({ row }: { row: Row }) {
  const [repairing, setRepairing] = useState(false);
  const { cause } = row;
  const byMachine =
    row.state === "open" && !!row.repair?.command && !row.repair.automatic && !row.repair.first;
  useAsked(byMachine ? REPAIR : NOTHING, () => setRepairing(true));
  return (
    <div className="stack">
      <Heading
        title={
          <span className="row">
            {cause.node}: {visibleText(cause.summary)} <State of={row.state} />
          </span>
        }
        subtitle={<Summary row={row} />}
      >
        {byMachine && (
          <button type="button" className="button main" onClick={() => setRepairing(true)}>
            Repair…
          </button>
        )}
        <Link className="button" to={`/graph?mode=blast&root=${encodeURIComponent(row.id)}`}>
          Blast radius
        </Link>
      </Heading>
      <RepairNotice row={row} again={() => setRepairing(true)} />
      {row.muted && <MuteNotice muted={row.muted} />}
      {row.before && (
        <div className="notice tone-warn">
          <p>
            <strong>It happened before:</strong>{" "}
            <Link to={`/incidents/${encodeURIComponent(row.before.id)}`}>{row.before.id}</Link>,{" "}
            <Time at={row.before.began_at} />. What was done then:{" "}
            {row.before.done.join("; ") || "nothing by hand"}.
          </p>
        </div>
      )}
      <div className="columns">
        <div className="stack">
          <Evidence cause={cause} />
          <HeldData row={row} />
          <Failed incident={row.id} ended={row.state !== "open"} />
          <History row={row} />
          <Timeline row={row} />
        </div>
        <div className="stack">
          <Affected affected={row.affected} />
          {row.symptoms.length > 0 && <Symptoms rows={row.symptoms} />}
        </div>
      </div>
      {repairing && <Repair incident={row.id} close={() => setRepairing(false)} />}
    </div>
  );
}

function MuteNotice({ muted }: { muted: Schema["MuteRow"] }) {
  return (
    <div className="notice">
      <p>
        <strong>
          Muted
          {muted.until && (
            <>
              {" "}
              until <Time at={muted.until} />
            </>
          )}
          .
        </strong>{" "}
        By {visibleText(muted.by)}, <Time at={muted.since} />: {visibleText(muted.reason)}
      </p>
    </div>
  );
}

function Summary({ row }: { row: Row }) {
  return (
    <>
      {row.id} · {row.cause.kind.replaceAll("_", " ")} · owner <strong>{row.owner}</strong>
      {row.contact.map((contact) => (
        <span key={contact}>
          {" "}
          {contact.startsWith("mailto:") ? (
            <a href={contact}>{visibleText(contact.slice("mailto:".length))}</a>
          ) : (
            visibleText(contact)
          )}
        </span>
      ))}
      {row.assignee && (
        <>
          {" "}
          · assigned to <strong>{visibleText(row.assignee)}</strong>
        </>
      )}
      {row.ticket && (
        <>
          {" "}
          · ticket <TicketLink url={row.ticket} />
        </>
      )}{" "}
      · began <Time at={row.began_at} />
      {row.state === "resolved" && row.restore_seconds !== null ? (
        `, restored after ${formatDuration(row.restore_seconds)}`
      ) : (
        <Since at={row.began_at} suffix="ago" before=", " />
      )}{" "}
      · found {formatDuration(row.detect_seconds)} later
      {row.opened_again_at && (
        <>
          {" "}
          · opened again <Time at={row.opened_again_at} />
        </>
      )}
    </>
  );
}

function RepairNotice({ row, again }: { row: Row; again: () => void }) {
  if (row.state === "resolved") {
    return (
      <div className="notice tone-good">
        <p>
          <strong>Resolved.</strong> {row.ended}
        </p>
      </div>
    );
  }
  if (row.state === "recovering")
    return (
      <div className="notice">
        <p>
          <strong>Recovering.</strong> The cause is gone; it closes when its repair is published and
          those affected are served.
          {row.repair?.expected_at && (
            <>
              {" "}
              Expected <Time at={row.repair.expected_at} />, at the earliest.
            </>
          )}
        </p>
      </div>
    );
  if (!row.repair)
    return (
      <div className="notice tone-warn">
        <p>
          <strong>No repair is known.</strong> It closes by itself once service is back.
        </p>
      </div>
    );
  const { first, automatic, commands, note } = row.repair;
  return (
    <div className="notice">
      <div>
        <p>
          {note ? (
            <>
              <strong>Nothing has to be done.</strong> {note}.
            </>
          ) : automatic ? (
            <>
              <strong>Headrace goes on by itself</strong> as soon as it can: no command is needed.{" "}
              {row.owner} answers for the cause.
            </>
          ) : first ? (
            <>
              <strong>A person does this first:</strong> {first}.{commands.length > 0 && " Then:"}
            </>
          ) : commands.length === 0 ? (
            <>
              <strong>A machine can repair it</strong>, for somebody whose role allows it.
            </>
          ) : (
            <>
              <strong>A machine can repair it.</strong> The preview says what will be done before
              anything is.
            </>
          )}
        </p>
        {!automatic && commands.map((text) => <Command key={text} text={text} />)}
        {first && row.repair.same && commands.length > 0 && (
          <p>
            <button type="button" className="button" onClick={again}>
              Compute it again…
            </button>
          </p>
        )}
      </div>
    </div>
  );
}

const EVIDENCE: readonly Column<Schema["EvidenceRow"]>[] = [
  { name: "What", cell: (row) => row.what },
  { name: "Expected", cell: (row) => <code>{visibleText(row.expected)}</code> },
  { name: "Observed", cell: (row) => <code>{visibleText(row.observed)}</code> },
  { name: "Seen", cell: (row) => <Time at={row.at} /> },
];

function Evidence({ cause }: { cause: Schema["CauseRow"] }) {
  const seen = new Map<string, Schema["EvidenceRow"] & { times: number }>();
  for (const row of cause.evidence) {
    const key = JSON.stringify([row.what, row.expected, row.observed]);
    const before = seen.get(key);
    const attempts = [...new Set([...(before?.attempts ?? []), ...row.attempts])];
    seen.set(key, {
      ...(before ?? row),
      attempts,
      times: attempts.length || (before?.times ?? 0) + 1,
    });
  }
  const columns = [
    ...EVIDENCE,
    {
      name: "Times",
      className: "number",
      cell: (row: { times: number }) =>
        row.times > 1 ? `${row.times}${cause.evidence_limited ? " or more" : ""}` : "",
    },
  ] as Column<Schema["EvidenceRow"] & { times: number }>[];
  return (
    <Panel
      title="Evidence"
      aside={`cause ${cause.certainty}, confidence ${Math.floor(cause.confidence * 100)} %`}
    >
      <Table
        label="Evidence"
        columns={columns}
        rows={[...seen.values()]}
        keyOf={(row) => `${row.what}|${row.expected}|${row.observed}`}
      />
    </Panel>
  );
}

function Affected({ affected }: { affected: Schema["AffectedRow"] }) {
  const consumers = useStatus().data?.consumers;
  return (
    <Panel title="Affected consumers" aside={rangeOf(affected.partitions)}>
      <div className="body stack">
        {affected.consumers.length === 0 && <Empty>No consumer waits for it.</Empty>}
        <ul className="stack" style={{ gap: "0.375rem" }}>
          {affected.consumers.map((name) => {
            const row = consumers?.find((consumer) => consumer.name === name);
            return (
              <li key={name} className="row spread">
                <Link to={`/consumers/${encodeURIComponent(name)}`}>{name}</Link>
                {row && <State of={row.state} />}
              </li>
            );
          })}
        </ul>
        {affected.assets.length > 0 && (
          <div>
            <h3>{many(affected.assets.length, "asset")}</h3>
            <p className="small">
              {affected.assets.map((name, index) => (
                <span key={name}>
                  {index > 0 && ", "}
                  <Link to={`/assets/${encodeURIComponent(name)}`}>{name}</Link>
                </span>
              ))}
            </p>
          </div>
        )}
      </div>
    </Panel>
  );
}

/** How many partitions, the first and the last; nothing where there is none. */
function rangeOf(keys: readonly string[]): string | undefined {
  const partitions = keys.filter((key) => key !== WHOLE);
  const first = partitions[0];
  const last = partitions.at(-1);
  if (first === undefined || last === undefined) return undefined;
  return `${many(partitions.length, "partition")}: ${first === last ? first : `${first} to ${last}`}`;
}

function Symptoms({ rows }: { rows: readonly Schema["SymptomRow"][] }) {
  return (
    <Panel title="Symptoms" aside={`${rows.length}`}>
      <ul className="body stack">
        {rows.map((row) => (
          <li key={`${row.node} ${row.partition ?? ""} ${row.at}`}>
            {nodePartition(row.node, row.partition)}
            <p className="muted small">{row.what}</p>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
