// Pages of the navigation that are called like a mistyped word, or have an address like it: that of a command.
import { NAVIGATION, type Entry } from "../app/navigation";

/** Pages whose name begins like the word, or that differ from it by few letters; the nearest first. */
export function nearestPages(typed: string): readonly Entry[] {
  const word = typed.trim().toLowerCase();
  if (!word) return [];
  return NAVIGATION.map((entry) => ({
    entry,
    distance: nearest(
      distanceOf(word, entry.name.toLowerCase()),
      distanceOf(word, entry.path.slice(1) || "today"),
    ),
  }))
    .filter(({ distance }) => distance !== null)
    .toSorted((one, other) => (one.distance ?? 0) - (other.distance ?? 0))
    .map(({ entry }) => entry);
}

const nearest = (one: number | null, other: number | null) =>
  one === null || other === null ? (one ?? other) : Math.min(one, other);

/** Pages that share three letters with a word stand behind those with few other letters. */
const BEGINNING = 3;

/** 0 if one begins with the other, else the letters that differ; null for more than 2 of 5. */
function distanceOf(word: string, name: string): number | null {
  if (word.length >= 3 && (name.startsWith(word) || word.startsWith(name))) return 0;
  if (word.length >= 3 && name.startsWith(word.slice(0, 3))) return BEGINNING; // INC-99
  const distance = editDistance(word, name);
  return distance <= Math.max(1, Math.floor(Math.max(word.length, name.length) / 2.5))
    ? distance
    : null;
}

/** How many letters have to be added, removed, replaced or swapped with their neighbour. */
export function editDistance(one: string, other: string): number {
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const next = [row];
    for (let column = 1; column <= other.length; column++) {
      const same = one[row - 1] === other[column - 1];
      let best = Math.min(
        (last[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped =
        row > 1 &&
        column > 1 &&
        one[row - 1] === other[column - 2] &&
        one[row - 2] === other[column - 1];
      if (swapped) best = Math.min(best, (before[column - 2] ?? 0) + 1);
      next.push(best);
    }
    before = last;
    last = next;
  }
  return last[other.length] ?? 0;
}
