// What can be done about a node or one of its partitions: what it comes to and whom it reaches is said before.
import { useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { ActButtons, refusalOf, type Refused } from "../../parts/ActButtons";
import { Confirm } from "../../parts/Confirm";
import { DurationField } from "../../parts/DurationField";
import { Loaded } from "../../parts/Page";
import { Impact } from "../../parts/Impact";
import { RunOutcome } from "../../parts/RunOutcome";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useAsked } from "../../parts/useAsked";
import { nodePartition, targetOf } from "../../parts/partitions";
import { AcceptNames } from "./AcceptNames";

type Run = Schema["RunResponse"];
export type ActName = "run" | "again" | "retry" | "pause" | "resume" | "names" | "accept" | "drop";
type Props = { act: ActName; node: string; partition?: string; close: () => void };

/** The labels of the buttons. */
const LABELS: Record<ActName, string> = {
  run: "Run…",
  again: "Recompute…",
  retry: "Retry…",
  pause: "Pause…",
  resume: "Resume…",
  names: "Accept names…",
  accept: "Publish as it is…",
  drop: "Drop it…",
};
const COMMANDS: Record<ActName, string> = {
  run: "run",
  again: "run",
  retry: "retry",
  pause: "pause",
  resume: "resume",
  names: "contract accept",
  accept: "quarantine accept",
  drop: "quarantine drop",
};
/** The states of partitions that a retry takes. */
export const RETRYABLE = ["failed", "rejected", "lost"];

const NONE: readonly ActName[] = [];

/** Buttons, and the question that each asks. */
export function Acts({
  names,
  node,
  partition,
  refused,
  backfill,
}: {
  names: readonly ActName[];
  node: string;
  partition?: string;
  refused: Refused;
  /** The label and the address of a backfill's plan; none where there is nothing to recompute. */
  backfill?: { label: string; to: string } | undefined;
}) {
  const [dialog, setDialog] = useState<ActName | null>(null);
  const permitted = names.filter((name) => !refusalOf(refused, COMMANDS[name]));
  useAsked(partition === undefined ? permitted : NONE, setDialog);
  const acts = names.map((name) => ({
    label: LABELS[name],
    command: COMMANDS[name],
    begin: () => setDialog(name),
  }));
  return (
    <>
      <ActButtons
        acts={backfill ? [...acts, { ...backfill, command: "backfill" }] : acts}
        refused={refused}
      />
      {dialog && (
        <Act
          act={dialog}
          node={node}
          {...(partition === undefined ? {} : { partition })}
          close={() => setDialog(null)}
        />
      )}
    </>
  );
}

function Act(props: Props) {
  switch (props.act) {
    case "run":
    case "again":
    case "retry":
      return <RunIt {...props} />;
    case "pause":
      return <Pause {...props} />;
    case "resume":
      return <Resume {...props} />;
    case "names":
      return <AcceptNames target={targetOf(props.node, props.partition)} close={props.close} />;
    case "accept":
    case "drop":
      return <Decide {...props} />;
  }
}

const RUNS = {
  run: {
    verb: "Run it",
    explanation:
      "Its due partitions are computed now, after its sources have been polled. Partitions that are published and fresh aren’t computed again.",
  },
  again: {
    verb: "Recompute",
    explanation:
      "It is recomputed from what is there now, and replaces what readers see, if it passes its checks.",
  },
  retry: {
    verb: "Retry",
    explanation:
      "What failed, was rejected or lost of it and hasn’t been published since is tried again; nothing else.",
  },
} as const;

function RunIt({ act, node, partition, close }: Props) {
  const target = targetOf(node, partition);
  const { verb, explanation } = RUNS[act as keyof typeof RUNS];
  const body =
    act === "retry"
      ? { target }
      : {
          select: [node],
          ...(partition === undefined ? {} : { partitions: [partition] }),
          ...(act === "again" ? { again: true } : {}),
        };
  const effect = (
    <>
      <p>{explanation}</p>
      <Impact select={[node]} />
    </>
  );
  const done = (document: Run) => <RunOutcome document={document} close={close} />;
  return (
    <Confirm<Run>
      title={`${verb}: ${target}`}
      verb={verb}
      path={act === "retry" ? "/api/v1/retry" : "/api/v1/runs"}
      body={body}
      reasoned={act === "again"}
      effect={effect}
      done={done}
      close={close}
    />
  );
}

const PAUSES = {
  "": "until somebody resumes it",
  "1h": "for an hour",
  "8h": "for eight hours",
  "1d": "for a day",
  "7d": "for a week",
};
const EXCEPTIONS = { "1d": "for a day", "7d": "for a week", "30d": "for a month", "": "for good" };

function Pause({ node, close }: Props) {
  const [until, setUntil] = useState("");
  const effect = (
    <>
      <p>
        Nothing of it is begun any more; what runs goes on. Whoever waits for it waits on, and it
        stands as the reason.
      </p>
      <DurationField until={until} choose={setUntil} choices={PAUSES} />
      <Impact select={[node]} />
    </>
  );
  return (
    <Confirm<Paused>
      title={`Pause ${node}`}
      verb="Pause it"
      path="/api/v1/pause"
      body={{ select: [node], ...(until && { until }) }}
      reasoned
      effect={effect}
      done={(document) => <Changed node={node} document={document} />}
      close={close}
    />
  );
}

function Resume({ node, close }: Props) {
  const paused = useResponse("/api/v1/paused", {}).data?.paused.find((row) => row.node === node);
  const effect = (
    <>
      {paused && (
        <p>
          Paused by {paused.by}, <Time at={paused.since} />: {paused.reason}
          {paused.until && (
            <>
              . It ends by itself <Time at={paused.until} />
            </>
          )}
        </p>
      )}
      <p>
        It runs as scheduled again. Partitions that became due during the pause are computed now.
      </p>
      <Impact select={[node]} />
    </>
  );
  return (
    <Confirm<Paused>
      title={`Resume ${node}`}
      verb="Resume it"
      path="/api/v1/resume"
      body={{ select: [node] }}
      effect={effect}
      done={(document) => <Changed node={node} document={document} />}
      close={close}
    />
  );
}

type Paused = Schema["PauseResponse"];

function Changed({ node, document }: { node: string; document: Paused }) {
  const paused = document.paused.find((row) => row.node === node);
  if (!paused) return <p>It runs again.</p>;
  return (
    <p className="row">
      <State of="paused" />{" "}
      {paused.until ? (
        <>
          until <Time at={paused.until} />
        </>
      ) : (
        "until somebody resumes it"
      )}
    </p>
  );
}

/** Publish what is held as an exception, or say that it never will be: with what is wrong with it before one's eyes. */
function Decide({ act, node, partition, close }: Props) {
  const [until, setUntil] = useState("7d");
  const target = targetOf(node, partition);
  const accepts = act === "accept";
  const effect = (
    <>
      <p>
        {accepts
          ? "Readers see the data as it is, marked as an exception by you, and what depends on it is computed. The failed checks stay failed."
          : "The data is never published. Readers keep what they see now, and whoever waits for it is told why it doesn’t come."}
      </p>
      <HeldData target={target} />
      {accepts && <DurationField until={until} choose={setUntil} choices={EXCEPTIONS} />}
      <Impact select={[node]} />
    </>
  );
  const done = (document: Schema["DecisionResponse"]) => (
    <div className="stack">
      <p className="row">
        <State of={document.state} /> {nodePartition(document.asset, ...document.partitions)}
        {document.until && (
          <span>
            as an exception until <Time at={document.until} />
          </span>
        )}
      </p>
      {document.rejected.map((row) => (
        <p key={`${row.asset}@${row.partition}`}>
          <State of={row.state} /> {nodePartition(row.asset, row.partition)}: {row.reason}
        </p>
      ))}
    </div>
  );
  return (
    <Confirm
      title={`${accepts ? "Publish" : "Drop"} ${target}`}
      verb={accepts ? "Publish it" : "Drop it"}
      path={`/api/v1/quarantine/${act}`}
      body={{ target, ...(accepts && until && { until }) }}
      reasoned
      effect={effect}
      done={done}
      close={close}
    />
  );
}

function HeldData({ target }: { target: string }) {
  return (
    <Loaded document={useResponse("/api/v1/quarantine", { query: { target } })}>
      {([row]) =>
        row ? (
          <dl className="facts">
            <dt>Waits because</dt>
            <dd>{row.reason}</dd>
            {row.checks.map((check) => (
              <div key={check.name} style={{ display: "contents" }}>
                <dt>Check</dt>
                <dd>
                  <code>{check.name}</code>: {check.detail}
                </dd>
              </div>
            ))}
            <dt>Rows</dt>
            <dd>{row.rows?.toLocaleString("en") ?? "it couldn’t be read as rows"}</dd>
            {row.repair?.first && (
              <>
                <dt>Instead</dt>
                <dd>{row.repair.first}</dd>
              </>
            )}
          </dl>
        ) : (
          <p>Nothing of it waits any more.</p>
        )
      }
    </Loaded>
  );
}
