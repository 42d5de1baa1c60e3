// What is said of each node in the graph of what changed.
import type { Schema } from "../../api/client";

export type Changed = Schema["PlanGraphResponse"];
export type ChangedNode = Changed["nodes"][number];
export type Mark = "added" | "removed" | "changed" | "downstream";

/** Each mark's sign: marks are told by sign, border and word, not by colour. */
export const SIGNS: Record<Mark, string> = {
  added: "+",
  removed: "−",
  changed: "●",
  downstream: "↳",
};

export function markOf({ changes }: ChangedNode): Mark {
  if (changes.includes("added")) return "added";
  if (changes.includes("removed")) return "removed";
  return changes.length ? "changed" : "downstream";
}

/** Kinds of changes that have another name for readers. */
const KINDS: Record<string, string> = { body: "asset code" };

/** Of a changed node also what changed: changed: asset code, checks. */
export function markText(node: ChangedNode): string {
  const mark = markOf(node);
  return mark === "changed"
    ? `changed: ${node.changes.map((kind) => KINDS[kind] ?? kind).join(", ")}`
    : mark;
}

/** As the layout takes it. */
export function viewOf({ nodes, edges }: Changed) {
  return { cards: nodes.map(({ name }) => ({ id: name })), edges };
}

export function readersOf({ edges }: Changed, name: string): string[] {
  return edges.filter((edge) => edge.from === name).map((edge) => edge.to);
}
