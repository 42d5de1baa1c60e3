// What a card says, for those who see it and those who hear it.
import type { Schema } from "../../api/client";
import { labelOf } from "../../parts/State";
import { addressOf } from "../../parts/addresses";
import { many } from "../../parts/words";

export type Card = Schema["CardView"];
export const isGroup = (card: Card): boolean => card.kind === "domain" || card.kind === "more";

/** A group's state is its worst one. */
export function stateOf(card: Card): string {
  return card.worst;
}

export function nameOf(card: Card): string {
  const name = card.name || "without a domain";
  return card.kind === "more" ? `${card.count} more in ${name}` : name;
}

export function detailOf(card: Card): string {
  if (isGroup(card))
    return card.states.map((state) => `${state.count} ${labelOf(state.value)}`).join(", ");
  const parts = [
    card.incident,
    card.paused && "paused",
    card.quarantined && "quarantine",
    card.kind !== "asset" && card.kind,
    card.data_through && `through ${card.data_through}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

export function descriptionOf(card: Card): string {
  const hidden = card.hidden_above + card.hidden_below;
  return `${nameOf(card)}, ${labelOf(stateOf(card))}, ${detailOf(card)}${hidden ? `, ${many(hidden, "neighbour")} not shown` : ""}`;
}

/** What opening a card shows: around a node, or the list of a group. */
export function targetOf(card: Card): string {
  return isGroup(card)
    ? `/assets?${new URLSearchParams({ domain: card.name })}`
    : `/graph?${new URLSearchParams({ mode: "focus", root: card.name })}`;
}

export function pageOf(card: Card): string {
  return isGroup(card) ? targetOf(card) : addressOf(card.kind, card.name);
}
