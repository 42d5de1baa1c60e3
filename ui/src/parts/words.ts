/** 1 consumer, 3 consumers, 2,740 rows. */
export function many(count: number, word: string, plural = `${word}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? word : plural}`;
}

/** The text with its first letter as a capital. */
export const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** What a consumer was promised, in a sentence: by 07:00 daily, at most 30 h old. */
export function neededBy(needs: string): string {
  if (!needs) return "whenever there is some";
  return needs.endsWith(" old") ? `at most ${needs}` : `by ${needs}`;
}

/** The windows of the past that a page offers. */
export const WINDOWS = { "7d": "7 days", "30d": "30 days", "90d": "90 days", "365d": "a year" };

/** A window as people say it: 30d → 30 days. */
export function windowOf(window: string): string {
  return window.replace(/^(\d+)d$/, (_, days: string) => many(Number(days), "day"));
}
