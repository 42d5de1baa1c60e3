// How pages name partitions. A node that isn't partitioned has a single one, whose key is `*`.
import { many } from "./words";

export const WHOLE = "*";

/** A partition by itself, as in a column of partitions. */
export function partitionName(key: string): string {
  return key === WHOLE ? "all of it" : key;
}

/** A node and its partition as commands take it: daily@2025-03-01; only the node if that is all of it. */
export function targetOf(node: string, partition: string | null | undefined): string {
  return partition == null || partition === WHOLE ? node : `${node}@${partition}`;
}

/** A node and what of it: daily 2025-03-01; only the node if that is all of it. */
export function nodePartition(node: string, ...keys: readonly (string | null | undefined)[]) {
  return [node, partitionRange(keys.flatMap((key) => key ?? []))].filter(Boolean).join(" ");
}

/** Partitions beside the name of their node; nothing where they are all of it. */
export function partitionRange(partitions: readonly string[]): string {
  const keys = partitions.filter((key) => key !== WHOLE);
  const first = keys[0] ?? "";
  if (keys.length <= 1) return first;
  return `${many(keys.length, "partition")}, ${first} to ${keys.at(-1) ?? ""}`;
}
