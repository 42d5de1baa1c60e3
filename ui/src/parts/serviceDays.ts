// The states of days in words.

/** `state` is null on days on which nothing was promised or due. */
export type DayState = { date: string; state: string | null };

/** In the order of a legend. */
export const DAY_STATES = ["served", "late", "never", "wrong", "unknown", "excepted"] as const;
const LABELS: Record<string, string> = {
  unknown: "not observed",
  excepted: "by exception",
  never: "never served",
};
/** The maximum number of dates in a sentence. */
const NAMED_MAX = 10;

export function dayStateLabel(state: string | null): string {
  return state === null ? "nothing due" : (LABELS[state] ?? state);
}

/** 2025-02-10: late. */
export function dayLabel({ date, state }: DayState): string {
  return `${date}: ${dayStateLabel(state)}`;
}

/** The number of days of each state, those that weren't served with their dates. */
export function daysText(days: readonly DayState[]): string {
  const texts = [...DAY_STATES, null].flatMap((state) => {
    const dates = days.filter((day) => day.state === state).map(({ date }) => date);
    if (!dates.length) return [];
    const count = `${dates.length} ${dayStateLabel(state)}`;
    if (state === "served" || state === null) return [count];
    const more = dates.length > NAMED_MAX ? ", …" : "";
    return [`${count} (${dates.slice(0, NAMED_MAX).join(", ")}${more})`];
  });
  return texts.join(", ");
}
