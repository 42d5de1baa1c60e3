// How much room a row takes, kept in the browser.
export type Density = "comfortable" | "compact";
const KEY = "headrace-density";

export function density(): Density {
  return localStorage.getItem(KEY) === "compact" ? "compact" : "comfortable";
}

export function applyDensity(chosen: Density = density()): void {
  localStorage.setItem(KEY, chosen);
  if (chosen === "compact") document.documentElement.dataset.density = chosen;
  else delete document.documentElement.dataset.density;
}
