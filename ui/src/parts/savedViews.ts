// Addresses with their filters that a person has given a name, kept in the browser for each project.
import { rowsOf, useOwnKey } from "./recent";

export type View = { name: string; path: string };

export const useViewsKey = () => useOwnKey("headrace-views ");

/** The saved views, the last one first. */
export const viewsOf = (key: string | null): readonly View[] => rowsOf(key, isView);

function isView(row: unknown): row is View {
  const { name, path } = (row ?? {}) as Partial<View>;
  return typeof name === "string" && typeof path === "string" && /^\/(?![/\\])/.test(path);
}

/** Saves a view; another one of that name is replaced. */
export const saveView = (key: string, view: View): void =>
  write(key, [view, ...viewsOf(key).filter(({ name }) => name !== view.name)]);

export const removeView = (key: string, name: string): void =>
  write(
    key,
    viewsOf(key).filter((view) => view.name !== name),
  );

const write = (key: string, views: readonly View[]) =>
  localStorage.setItem(key, JSON.stringify(views));
