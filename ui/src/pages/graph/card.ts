// What a card says, for those who see it and those who hear it.
import type { Schema } from "../../api/client";
import { labelOf } from "../../parts/State";
import { addressOf } from "../../parts/addresses";
import { many } from "../../parts/words";

export type Card = Schema["CardView"];
/** What nodes are grouped by, and what its groups are called. */
export const GROUPINGS: Record<string, string> = {
  domain: "Domains",
  owner: "Owners",
  folder: "Folders",
  kind: "Kinds",
};
/** What the address of a view keeps while one moves: the open groups and the filters. */
export type Address = { open: readonly string[]; filters: Readonly<Record<string, string>> };
export const NO_ADDRESS: Address = { open: [], filters: {} };

/** Whether it stands for several nodes: those of a group, or those that there is no room for. */
export const isGroup = (card: Card): boolean => opensInPlace(card) || card.kind === "more";
export const opensInPlace = (card: Card): boolean => card.kind in GROUPINGS;

/** A group's state is its worst one. */
export function stateOf(card: Card): string {
  return card.worst;
}

export function nameOf(card: Card): string {
  const name =
    card.name ||
    `without ${card.kind === "owner" ? "an owner" : `a ${card.kind === "more" ? "domain" : card.kind}`}`;
  return card.kind === "more" ? `${card.count} more in ${name}` : name;
}

export function detailOf(card: Card): string {
  if (isGroup(card))
    return [
      card.matching && `${card.matching} of ${card.count} match`,
      card.states.map((state) => `${state.count} ${labelOf(state.value)}`).join(", "),
    ]
      .filter(Boolean)
      .join(" · ");
  const parts = [
    card.cause ? `cause of ${card.incident ?? "an incident"}` : card.incident,
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

/** What opening a card shows: what is around a node, the nodes of a group beside those that are open, or the list of the others. */
export function targetOf(card: Card, { open, filters }: Address = NO_ADDRESS): string {
  if (opensInPlace(card)) return overviewOf(card.kind, { open: [...open, card.name], filters });
  return isGroup(card)
    ? `/assets?${new URLSearchParams({ domain: card.name })}`
    : `/graph?${new URLSearchParams({ mode: "focus", root: card.name, ...filters })}`;
}

/** The whole graph in groups, some of them open. */
export function overviewOf(by: string, { open, filters }: Address): string {
  return `/graph?${new URLSearchParams([
    ["by", by],
    ...open.map((name) => ["open", name]),
    ...Object.entries(filters),
  ])}`;
}

export function pageOf(card: Card): string {
  return isGroup(card) ? targetOf(card) : addressOf(card.kind, card.name);
}
