// What a plan does to published data and to readers beside its steps, in the order of how hard it is to undo.
import type { ReactNode } from "react";
import { Panel } from "../../parts/Page";
import { many } from "../../parts/words";
import type { Row } from "./Plan";

type Removes = Row["removes"][number];
type Consequence = { key: string; bad: boolean; text: ReactNode };

const NAMED_MAX = 10;

export function Consequences({ row }: { row: Row }) {
  const items = [...access(row), ...columns(row), ...removals(row), ...repairs(row)];
  if (!items.length) return null;
  return (
    <Panel title="Consequences" aside={many(items.length, "consequence")}>
      <ul className="body stack">
        {items.map(({ key, bad, text }) => (
          <li key={key} className={bad ? "tone-bad" : undefined}>
            {text}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function access({ locks_out }: Row): Consequence[] {
  if (locks_out === null) return [];
  const text = `access.yaml gives ${locks_out} no role: after Apply you may do nothing more.`;
  return [{ key: "access", bad: true, text }];
}

function columns({ unclassified, classified }: Row): Consequence[] {
  const masked = classified.filter((column) => column.mask !== null);
  const leftOut = classified.filter((column) => column.mask === null);
  const results: Consequence[] = [];
  if (unclassified.length)
    results.push({
      key: "unclassified",
      bad: true,
      text: `Not classified any more: ${named(unclassified)}. They are shown in the clear, with what is computed from them.`,
    });
  if (masked.length)
    results.push({
      key: "masked",
      bad: false,
      text: `Masked from now on: ${named(masked.map((item) => `${item.column} (${item.mask ?? ""})`))}.`,
    });
  if (leftOut.length)
    results.push({
      key: "left out",
      bad: false,
      text: `Classified without a mask, so left out from now on: ${named(leftOut.map((item) => item.column))}.`,
    });
  return results;
}

function removals({ removes, rebuildable, pruned }: Row): Consequence[] {
  return [
    ...removes.map((item) => ({
      key: `removes ${item.node}`,
      bad: item.partitions > 0 && item.hold === null,
      text: removesText(item),
    })),
    ...rebuildable.map((item) => ({
      key: `rebuildable ${item.node}`,
      bad: false,
      text: `retain_rebuildable ${item.retain} is about what is older than ${item.kept_from} of ${item.node}: ${counts(item)}. ${item.hold === null ? "headrace db gc removes those that give the same rows again; they can be rebuilt." : held(item.hold)}`,
    })),
    ...pruned.map((item) => ({
      key: `pruned ${item.node}`,
      bad: false,
      text: `${item.node} isn’t declared any more. Its data stays (${counts(item)})${
        item.hold !== null
          ? `: it is under a legal hold (${item.hold}).`
          : item.keep === null
            ? ": [retention] pruned in headrace.toml would end that."
            : ` for ${item.keep}, then maintenance removes it for good.`
      }`,
    })),
  ];
}

function removesText(item: Removes): string {
  const what = `retain ${item.retain} removes what is older than ${item.kept_from} of ${item.node}`;
  if (!item.partitions) return `${what}: nothing published is older yet.`;
  const first = item.from ?? "";
  const span = item.from === item.to ? first : `${first} – ${item.to ?? ""}`;
  const when =
    item.hold === null ? "The first cleanup after Apply removes it for good." : held(item.hold);
  return `${what}: ${counts(item)} (${span}). ${when}`;
}

function repairs({ repairs: failed, built }: Row): Consequence[] {
  return [
    ...failed.map((item) => ({
      key: `repairs ${item.node}`,
      bad: false,
      text: `May repair ${item.node}: ${many(item.partitions, "partition")} failed, ${item.from} – ${item.to}.`,
    })),
    ...built.map((item) => ({
      key: `built ${item.environment} ${item.node}`,
      bad: false,
      text: `${item.environment} has built ${item.node}: ${many(item.partitions, "partition")} needn’t be computed.`,
    })),
  ];
}

const held = (reason: string) => `Under a legal hold (${reason}), so not before it is released.`;

const counts = (item: { partitions: number; rows: number }) =>
  `${many(item.partitions, "partition")}, ${many(item.rows, "row")}`;

function named(names: readonly string[]): string {
  const more = names.length - NAMED_MAX;
  return names.slice(0, NAMED_MAX).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
