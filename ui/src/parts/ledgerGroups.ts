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

/** The wait for a trigger is that of the owner who declared it. */
export function groupOf(segment: { kind: string; awaits_trigger: boolean }): Group {
  const { kind, awaits_trigger: awaits } = segment;
  if (awaits) return "source";
  return GROUPS[kind] ?? "ours";
}
