// What happened to an incident, and what people add to it: notes, who handles it, and its ticket.
import { useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { ActButtons, useRefusedActs } from "../../parts/ActButtons";
import { Confirm } from "../../parts/Confirm";
import { Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { visibleText } from "../../parts/visible";

type Row = Schema["IncidentRow"];
type DialogProps = { row: Row; close: () => void };

const COLUMNS: readonly Column<Schema["HappenedRow"]>[] = [
  { name: "When", cell: (row) => <Time at={row.at} /> },
  { name: "What", className: "why", cell: (row) => visibleText(row.what) },
  { name: "By", cell: (row) => row.by },
];

export function Timeline({ row }: { row: Row }) {
  const [asked, setAsked] = useState<"assign" | "ticket" | "note" | null>(null);
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
          Older lines that neither open nor end the incident may be left out.
        </p>
      )}
      {asked === "assign" && <Assign {...dialog} />}
      {asked === "ticket" && <Ticket {...dialog} />}
      {asked === "note" && <Note {...dialog} />}
    </Panel>
  );
}

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
