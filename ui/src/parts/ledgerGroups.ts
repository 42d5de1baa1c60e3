// Whom a kind of segment of the delay ledger waits for.

export type Group = "people" | "work" | "ours" | "source";

const GROUPS: Record<string, Group> = {
  hold: "people",
  approval: "people",
  paused: "people",
  retry: "work",
  run: "work",
  export: "work",
  audit: "ours",
  publish: "ours",
  dispatch: "ours",
  queue: "ours",
  detection: "ours",
  unattributed: "ours",
  schedule: "ours",
  source: "source",
};

/** Only the wait for a trigger, which an owner declared, is a schedule that isn't overhead. */
export function groupOf({ kind, overhead }: { kind: string; overhead: boolean }): Group {
  if (kind === "schedule" && !overhead) return "source";
  return GROUPS[kind] ?? "ours";
}
