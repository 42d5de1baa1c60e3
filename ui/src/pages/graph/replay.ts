// A past view with the changes since then: what a time-lapse shows, without asking for each frame.
import type { Schema } from "../../api/client";
import { isGroup, type Card } from "./card";

type View = Schema["GraphView"];
export type Changes = Schema["GraphChangesResponse"];
type Change = Changes["changes"][number];

/** A time in milliseconds that isn't before an instant of the server, which has microseconds. */
export const after = (at: string): number => Date.parse(at) + 1;
export const isoOf = (at: number): string => new Date(at).toISOString();

/** The times at which something changed, each once. */
export function stopsOf(changes: Changes | undefined): number[] {
  const times = [...(changes?.changes ?? []), ...(changes?.applied ?? [])].map(({ at }) =>
    after(at),
  );
  return [...new Set(times)].toSorted((a, b) => a - b);
}

/** The stop before or after a time; the time itself where there is none. */
export function neighbourOf(stops: readonly number[], at: number, step: -1 | 1): number {
  return (step > 0 ? stops.find((stop) => stop > at) : stops.findLast((stop) => stop < at)) ?? at;
}

/** When the next version was applied in a part of a window: from then on the graph has other nodes. */
export function appliedBetween(changes: Changes, from: number, to: number): number | undefined {
  return changes.applied.map(({ at }) => after(at)).find((at) => at > from && at <= to);
}

/** The changes at a stop. */
export const changesAt = (changes: Changes | undefined, at: number): Change[] =>
  (changes?.changes ?? []).filter((change) => after(change.at) === at);

/**
 * The view as it stood at a later time. Only states are replayed: incidents, intervals and pauses
 * are left out, and cards of nodes that have no room say no state.
 */
export function replayed(view: View, changes: Changes, at: number): View {
  const from = Date.parse(view.at ?? view.now);
  const cards = new Map(view.cards.map((card) => [card.id, withoutDetails(card, view)]));
  const ids = new Map(view.cards.map((card) => [isGroup(card) ? "" : card.name, card.id]));
  for (const change of changes.changes) {
    const time = after(change.at);
    if (time <= from || time > at) continue;
    const id = ids.get(change.node) ?? groupId(view, change, cards);
    const card = id === undefined ? undefined : cards.get(id);
    if (card) cards.set(card.id, changed(card, change));
  }
  return { ...view, at: isoOf(at), cards: [...cards.values()] };
}

/** A view that doesn't say which nodes match a filter. */
export const withoutMatches = (view: View | undefined): View | undefined =>
  view && {
    ...view,
    matching: null,
    cards: view.cards.map((card) => ({ ...card, matching: null })),
  };

function groupId(view: View, change: Change, cards: ReadonlyMap<string, Card>) {
  if (view.by === null || change.group === null) return undefined;
  const own = `${view.by}:${change.group}`;
  return cards.has(own) ? own : "more:down:";
}

const NOT_REPLAYED = "not_replayed";

function withoutDetails(card: Card, { by }: View): Card {
  const bare = { ...card, incident: null, data_through: null, paused: false, quarantined: false };
  // In a focused view the server doesn't say which nodes have no room.
  return card.kind === "more" && (by === null || card.id !== "more:down:")
    ? { ...bare, states: [], worst: NOT_REPLAYED }
    : bare;
}

function changed(card: Card, { was, state }: Change): Card {
  if (!isGroup(card)) return { ...card, state, worst: state };
  if (card.worst === NOT_REPLAYED) return card;
  const counts = new Map(card.states.map((row) => [row.value, row.count]));
  counts.set(was, (counts.get(was) ?? 0) - 1);
  counts.set(state, (counts.get(state) ?? 0) + 1);
  const states = [...counts]
    .filter(([, count]) => count > 0)
    .map(([value, count]) => ({ value, count }))
    .toSorted((a, b) => b.count - a.count);
  return { ...card, states, worst: worstOf(states.map((row) => row.value)) };
}

/** As the server orders them: `WORST_FIRST` of headrace_ui/views/graph_past.py. */
const WORST_FIRST = [
  "wrong",
  "failed",
  "lost",
  "rejected",
  "late",
  "held",
  "stale",
  "behind",
  "at_risk",
  "running",
  "never",
  "unknown",
  "cancelled",
  "skipped",
  "not_due",
  "fresh",
  "published",
  "served",
];

function worstOf(states: readonly string[]): string {
  return WORST_FIRST.find((state) => states.includes(state)) ?? states[0] ?? "never";
}
