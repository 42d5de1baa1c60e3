/** From one partition to another, both included, in either order. */
export type Range = { from: string; to: string };

/** Keys of one grain are in the order of time as texts. */
export function ordered({ from, to }: Range): Range {
  return from <= to ? { from, to } : { from: to, to: from };
}

export function within(range: Range | null, partition: string): boolean {
  if (!range) return false;
  const { from, to } = ordered(range);
  return from <= partition && partition <= to;
}
