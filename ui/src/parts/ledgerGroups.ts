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
  schedule: "source",
  source: "source",
};

export function groupOf(kind: string): Group {
  return GROUPS[kind] ?? "ours";
}
