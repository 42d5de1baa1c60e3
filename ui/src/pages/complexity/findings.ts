// What a project could do without, by kind, and how the counts changed from version to version.
import type { Schema } from "../../api/client";
import type { Event } from "../../parts/ChartFrame";
import type { Point } from "../../parts/Series";

export type Document = Schema["ComplexityResponse"];
export type Row = Schema["ComplexityRow"];
export type Kind = { kind: string; title: string; meaning: string; rows: readonly Row[] };

const KINDS: Record<string, readonly [title: string, meaning: string]> = {
  unread_asset: ["Unread assets", "No consumer needs them, and nobody was seen to read them."],
  unused_source: ["Unused sources", "Nothing that somebody needs is computed from them."],
  unread_column: ["Unread columns", "No column that a consumer reads is computed from them."],
  pass_through: ["Assets that pass on", "Their columns are those of their only input, unchanged."],
  duplicate: ["Duplicates", "The same code and inputs, or the same rows, as another asset."],
  dead_check: ["Dead checks", "They can’t fail, and never have."],
  obvious_check: ["Obvious checks", "A blocking check of an input tests the same values already."],
  unused_macro: ["Unused macros", "Nothing calls them, or only one asset."],
  grain: ["Partition sizes", "Many tiny partitions, or huge ones."],
  no_checks: ["Assets without checks", "Nothing tests what they publish."],
  no_contact: ["Owners without contact", "Messages to them reach nobody."],
  unagreed_contract: ["Contracts not agreed", "Their status is a draft or a proposal."],
};

const titleOf = (kind: string): string => KINDS[kind]?.[0] ?? kind.replaceAll("_", " ");

/** The findings by kind, in the order above; kinds that this page doesn't know come last. */
export function kindsOf(rows: readonly Row[]): Kind[] {
  const groups = Map.groupBy(rows, ({ kind }) => kind);
  const names = new Set([...Object.keys(KINDS), ...groups.keys()]);
  return [...names].flatMap((kind) => {
    const ofKind = groups.get(kind);
    const meaning = KINDS[kind]?.[1] ?? "";
    return ofKind ? [{ kind, title: titleOf(kind), meaning, rows: ofKind }] : [];
  });
}

type Counts = Readonly<Record<string, number>>;
const sum = (counts: Counts) => Object.values(counts).reduce((all, count) => all + count, 0);

/** The number of findings by version, the oldest first. */
export const pointsOf = ({ trend }: Document): Point[] =>
  trend.map(({ version, counts }) => ({
    name: `${version}`,
    value: sum(counts),
    marked: false,
  }));

/** What a version changed: unread assets +2, dead checks −1; nothing for the first one. */
export const eventsOf = ({ trend }: Document): Event[] =>
  trend.slice(1).flatMap(({ version, counts }, index) => {
    const text = changeText(trend[index]?.counts ?? {}, counts);
    return text ? [{ name: `${version}`, text }] : [];
  });

function changeText(before: Counts, after: Counts): string {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .map((kind) => ({ kind, change: (after[kind] ?? 0) - (before[kind] ?? 0) }))
    .filter(({ change }) => change !== 0)
    .map(({ kind, change }) => {
      const sign = change > 0 ? "+" : "−";
      return `${titleOf(kind).toLowerCase()} ${sign}${Math.abs(change)}`;
    })
    .join(", ");
}

/** The page of what a finding is about; null for macros, owners and contracts. */
export function pageOf({ kind, node }: Row): string | null {
  if (["no_contact", "unused_macro", "unagreed_contract"].includes(kind)) return null;
  const [name = "", ...column] = node.split(".");
  const part = kind === "unread_column" ? "columns" : "checks";
  return `/assets/${encodeURIComponent(name)}${column.length ? `?part=${part}` : ""}`;
}
