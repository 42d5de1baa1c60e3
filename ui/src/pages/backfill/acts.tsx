// Pause, go on, cancel: what each comes to is said before; each needs a reason.
import { Confirm } from "../../parts/Confirm";
import { State } from "../../parts/State";
import { formatDuration } from "../../parts/durations";
import { many } from "../../parts/words";
import type { Row } from "./Backfill";

export type ActName = "pause" | "resume" | "cancel";

/** What can be done about a backfill that stands so. */
export function actsOf(state: string): readonly ActName[] {
  if (state === "running") return ["pause", "cancel"];
  if (state === "paused" || state === "planned") return ["resume", "cancel"];
  if (state === "failed" || state === "partial") return ["resume"];
  return ["awaiting_approval", "void", "expired"].includes(state) ? ["cancel"] : [];
}

const VERBS = { pause: "Pause it", resume: "Resume it", cancel: "Cancel it" } as const;
const TITLES = { pause: "Pause", resume: "Resume", cancel: "Cancel" } as const;

export function Act({
  act,
  plan,
  row,
  close,
}: {
  act: ActName;
  plan: string;
  row: Row;
  close: () => void;
}) {
  const reaches = [...row.affects.consumers, ...row.affects.owners];
  const effect = (
    <>
      <p>{effectOf(act, row)}</p>
      <dl className="facts">
        <dt>Affects</dt>
        <dd>{reaches.join(", ") || "nobody"}</dd>
        <dt>Progress</dt>
        <dd>
          {row.published} of {many(row.partitions_total, "partition")} published
          {row.remaining && `; ${formatDuration(row.remaining.seconds)} still to go`}
        </dd>
      </dl>
    </>
  );
  const done = (document: Row) => (
    <p className="row">
      <State of={document.state} /> {document.published} of{" "}
      {many(document.partitions_total, "partition")} published
      {document.failed > 0 && `, ${document.failed} couldn’t be published`}.
    </p>
  );
  return (
    <Confirm
      title={`${TITLES[act]} backfill ${plan}`}
      verb={VERBS[act]}
      path={`/api/v1/backfills/${encodeURIComponent(plan)}/${act}`}
      reasoned
      effect={effect}
      done={done}
      close={close}
    />
  );
}

function effectOf(act: ActName, row: Row): string {
  if (act === "pause")
    return "Running partitions finish. No other partition begins until the backfill is resumed.";
  if (act === "cancel")
    return row.published
      ? "The backfill ends. Published partitions stay; computed ones that aren’t published are deleted."
      : "The backfill ends, and what it computed is deleted. Readers see what they saw before.";
  return row.state === "failed" || row.state === "partial"
    ? "Failed partitions are tried again, and only those."
    : "The remaining partitions are computed and published.";
}
