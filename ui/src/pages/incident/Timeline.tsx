// What happened to an incident, and what people add to it: notes, who handles it, its ticket, mutes.
import { useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { ActButtons, useRefusedActs } from "../../parts/ActButtons";
import { Confirm } from "../../parts/Confirm";
import { DurationField } from "../../parts/DurationField";
import { Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { visibleText } from "../../parts/visible";

type Row = Schema["IncidentRow"];
type DialogProps = { row: Row; close: () => void };
type Act = "assign" | "ticket" | "note" | "mute" | "unmute";

const COLUMNS: readonly Column<Schema["HappenedRow"]>[] = [
  { name: "When", cell: (row) => <Time at={row.at} /> },
  { name: "What", className: "why", cell: (row) => visibleText(row.what) },
  { name: "By", cell: (row) => visibleText(row.by) },
];

export function Timeline({ row }: { row: Row }) {
  const [asked, setAsked] = useState<Act | null>(null);
  const refused = useRefusedActs();
  const dialog = { row, close: () => setAsked(null) };
  return (
    <Panel
      title="Timeline"
      aside={
        <span className="row">
          <ActButtons
            acts={[
              { label: "Assign…", command: "incidents assign", begin: () => setAsked("assign") },
              {
                label: "Link a ticket…",
                command: "incidents ticket",
                begin: () => setAsked("ticket"),
              },
              { label: "Write a note…", command: "incidents note", begin: () => setAsked("note") },
              ...muteOf(row).map((act) => ({
                key: "mute",
                label: act === "mute" ? "Mute…" : "Unmute…",
                command: `incidents ${act}`,
                begin: () => setAsked(act),
              })),
            ]}
            refused={refused}
          />
        </span>
      }
    >
      <Table
        label="Timeline"
        columns={COLUMNS}
        rows={row.timeline}
        keyOf={(_, index) => `${index}`}
      />
      {row.timeline_limited && (
        <p className="body muted small">
          Older lines that neither open nor end the incident are left out.
        </p>
      )}
      {asked === "assign" && <Assign {...dialog} />}
      {asked === "ticket" && <Ticket {...dialog} />}
      {asked === "note" && <Note {...dialog} />}
      {asked === "mute" && <Mute {...dialog} />}
      {asked === "unmute" && <Unmute {...dialog} />}
    </Panel>
  );
}

/** The act that changes whether messages are sent; none of a resolved incident. */
const muteOf = (row: Row): ("mute" | "unmute")[] =>
  row.state === "resolved" ? [] : [row.muted ? "unmute" : "mute"];

const pathOf = (row: Row, act: string) => `/api/v1/incidents/${encodeURIComponent(row.id)}/${act}`;

function Assign({ row, close }: DialogProps) {
  const people = useResponse("/api/v1/people", {}).data?.people;
  return (
    <Confirm<Row>
      title={`Assign ${row.id}`}
      verb="Assign"
      fieldLabel="Person"
      emptyMeans="empty: nobody"
      initial={row.assignee ?? ""}
      suggestions={people ?? []}
      path={pathOf(row, "assign")}
      bodyOf={(text) => ({ person: text || null })}
      effect={
        <p>Others see who handles it. No state changes, and nobody gets a message about this.</p>
      }
      done={({ assignee }) => (
        <p>
          {assignee === null
            ? `${row.id} is assigned to nobody.`
            : `${row.id} is assigned to ${visibleText(assignee)}.`}
        </p>
      )}
      close={close}
    />
  );
}

function Ticket({ row, close }: DialogProps) {
  return (
    <Confirm<Row>
      title={`The ticket of ${row.id}`}
      verb="Link"
      fieldLabel="Address, with https://"
      emptyMeans="empty: no ticket"
      initial={row.ticket ?? ""}
      path={pathOf(row, "ticket")}
      bodyOf={(text) => ({ url: text || null })}
      effect={<p>Readers of the incident see the link. Headrace doesn’t open it.</p>}
      done={({ ticket }) => (
        <p>{ticket === null ? `${row.id} has no ticket.` : `${row.id} is linked to its ticket.`}</p>
      )}
      close={close}
    />
  );
}

function Note({ row, close }: DialogProps) {
  return (
    <Confirm
      title={`A note about ${row.id}`}
      verb="Write it down"
      fieldLabel="What is known"
      path={pathOf(row, "note")}
      reasoned
      effect={
        <p>
          It stands in the timeline with your name, for whoever comes after. Nothing else changes.
        </p>
      }
      done={() => <p>It is written down.</p>}
      close={close}
    />
  );
}

const MUTES = {
  "": "until somebody unmutes it",
  "1h": "for an hour",
  "8h": "for eight hours",
  "1d": "for a day",
  "7d": "for a week",
};

function Mute({ row, close }: DialogProps) {
  const [until, setUntil] = useState("");
  return (
    <Confirm<Row>
      title={`Mute ${row.id}`}
      verb="Mute it"
      path={pathOf(row, "mute")}
      body={until ? { until } : {}}
      reasoned
      effect={
        <>
          <p>
            Nobody gets messages about it meanwhile, and no warnings of deadlines that it endangers.
            Whoever got a message gets one when the incident is resolved. Its state doesn’t change.
            Reopening it ends the mute.
          </p>
          <DurationField until={until} choose={setUntil} choices={MUTES} />
        </>
      }
      done={({ muted }) => (
        <p>
          {row.id} is muted
          {muted?.until ? (
            <>
              {" "}
              until <Time at={muted.until} />
            </>
          ) : (
            " until somebody unmutes it"
          )}
          .
        </p>
      )}
      close={close}
    />
  );
}

function Unmute({ row, close }: DialogProps) {
  return (
    <Confirm<Row>
      title={`Unmute ${row.id}`}
      verb="Unmute it"
      path={pathOf(row, "unmute")}
      effect={<p>Messages about it are sent again, also about what has changed meanwhile.</p>}
      done={() => <p>{row.id} isn’t muted any more.</p>}
      close={close}
    />
  );
}
