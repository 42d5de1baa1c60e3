// Plans that wait for other people: what each one comes to, whose approvals it needs, and two answers.
import { useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { ActButtons, useRefusedActs } from "../../parts/ActButtons";
import { Command } from "../../parts/Command";
import { Confirm } from "../../parts/Confirm";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";

type Row = Schema["ApprovalRow"];
export type Answer = "approve" | "reject";

export function Approvals() {
  usePageTitle("Approvals");
  const [asked, setAsked] = useState<{ row: Row; answer: Answer } | null>(null);
  return (
    <div className="stack">
      <Heading
        title="Approvals"
        subtitle="Plans that a rule of the policy holds back until other people have agreed."
      />
      <Loaded document={useResponse("/api/v1/approvals", {})}>
        {(rows) =>
          rows.length ? (
            rows.map((row) => (
              <Plan key={row.id} row={row} answer={(answer) => setAsked({ row, answer })} />
            ))
          ) : (
            <Empty>
              <strong>No plan needs or needed an approval.</strong> Rules of <code>[policy]</code>{" "}
              in headrace.toml say which do.
            </Empty>
          )
        }
      </Loaded>
      {asked && <Asked {...asked} close={() => setAsked(null)} />}
    </div>
  );
}

export function Plan({ row, answer }: { row: Row; answer: (answer: Answer) => void }) {
  const refused = useRefusedActs();
  return (
    <Panel
      title={`${row.kind} ${row.id}`}
      aside={
        <span className="row">
          <State of={row.state === "open" ? "awaiting_approval" : row.state} />{" "}
          <Time at={row.asked_at} />
        </span>
      }
    >
      <div className="body stack">
        <p>
          {row.asked_by}: {row.reason || "no reason given"}
        </p>
        <Facts row={row} />
        {row.state === "open" ? (
          <div className="row">
            <ActButtons
              acts={[
                {
                  label: "Approve…",
                  command: "approve",
                  main: true,
                  begin: () => answer("approve"),
                },
                { label: "Reject…", command: "reject", begin: () => answer("reject") },
              ]}
              refused={refused}
            />
          </div>
        ) : (
          <p className="muted">{row.state_reason}</p>
        )}
        {row.state === "approved" && row.next && <Command text={row.next} />}
      </div>
    </Panel>
  );
}

function Facts({ row }: { row: Row }) {
  const { consequence } = row;
  return (
    <dl className="facts">
      <dt>Changes</dt>
      <dd>
        {many(consequence.partitions, "partition")}, {many(consequence.rows, "published row")}
        {consequence.stale > 0 && `; ${many(consequence.stale, "partition")} to recompute`}
      </dd>
      <dt>Reaches</dt>
      <dd>{[...consequence.consumers, ...consequence.domains].join(", ") || "nobody"}</dd>
      <Names title="Weakens" names={consequence.weakens} />
      <Names title="Breaks" names={consequence.breaks} />
      <Names title="Classified" names={consequence.classified} />
      <Names
        title="Contracts"
        names={consequence.contracts.map(
          (item) =>
            `${item.node} ${item.before}: ${item.changes.join("; ")} (read in ${item.domains.join(", ")})`,
        )}
      />
      <dt>Rule</dt>
      <dd>{row.rule}</dd>
      <dt>Needs</dt>
      <dd>
        {row.needs.map((need) => `${need.text} (${need.given} of ${need.count} given)`).join("; ")}
      </dd>
      <Names
        title="Answers"
        names={row.given.map((item) => `${item.by} ${item.answer} it: ${item.reason}`)}
      />
    </dl>
  );
}

function Names({ title, names }: { title: string; names: readonly string[] }) {
  if (!names.length) return null;
  return (
    <>
      <dt>{title}</dt>
      <dd>{names.join("; ")}</dd>
    </>
  );
}

export function Asked({
  row,
  answer,
  link,
  close,
}: {
  row: Row;
  answer: Answer;
  /** The link of the message that is followed; the answer uses it up. */
  link?: string | null;
  close: () => void;
}) {
  const verb = answer === "approve" ? "Approve" : "Reject";
  return (
    <Confirm<Row>
      title={`${verb} ${row.kind} ${row.id}`}
      verb={`${verb} it`}
      path={`/api/v1/approvals/${encodeURIComponent(row.id)}/${answer}`}
      body={link ? { link } : {}}
      reasoned
      effect={<Facts row={row} />}
      done={(document) => (
        <p className="row">
          <State of={document.state === "open" ? "awaiting_approval" : document.state} />{" "}
          {document.state_reason}
        </p>
      )}
      close={close}
    />
  );
}
