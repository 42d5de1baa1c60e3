// What the palette offers for a text: pages, settings of this browser, things and acts.
import type { Schema } from "../api/client";
import { addressOf } from "../parts/addresses";
import type { Visited } from "../parts/recent";
import { removeView, saveView, viewsOf, type View } from "../parts/savedViews";
import { applyDensity } from "./density";
import { chooseZone } from "../parts/zone";
import { NAVIGATION } from "./navigation";
import { signOut } from "./signOut";
import { applyTheme } from "./theme";

/** Choosing it goes to `path`, or changes a setting of this browser. */
export type Choice = {
  key: string;
  name: string;
  detail: string;
} & ({ path: string } | { set: () => void });

type Act = Schema["PossibleActRow"];
type Thing = Schema["FoundRow"];

/** A text without the range of a backfill, and the range: `backfill shipments from 2025-03-01`. */
export type Asked = { text: string; range: Readonly<Record<string, string>> };

const RANGE = /\s(from|to)\s+(\S+)/g;
const VERBS: Readonly<Record<string, string>> = {
  approve: "Approve",
  backfill: "Backfill",
  cancel: "Cancel",
  pause: "Pause",
  reject: "Reject",
  repair: "Repair",
  resume: "Resume",
  run: "Run",
};
/** The verbs that the palette knows. */
export const ACTS = Object.keys(VERBS).join(", ");
const OPEN = /^open\s+/i;

export function askedOf(typed: string): Asked {
  const range: Record<string, string> = {};
  for (const [, name = "", day = ""] of typed.matchAll(RANGE)) range[name] = day;
  return { text: typed.replaceAll(RANGE, " ").trim(), range };
}

/** `open INC-3` is a search for INC-3. */
export const searchedOf = (text: string) => text.replace(OPEN, "");

const contains = (text: string, words: string) =>
  words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.toLowerCase().includes(word));

const SETTINGS: readonly Choice[] = [
  setting("Density: comfortable", () => applyDensity("comfortable")),
  setting("Density: compact", () => applyDensity("compact")),
  setting("Time zone: the project’s", () => chooseZone("project")),
  setting("Time zone: mine", () => chooseZone("mine")),
  setting("Time zone: UTC", () => chooseZone("utc")),
  setting("Theme: system", () => applyTheme("system")),
  setting("Theme: light", () => applyTheme("light")),
  setting("Theme: dark", () => applyTheme("dark")),
];

function setting(name: string, set: () => void): Choice {
  return { key: name, name, detail: "setting of this browser", set };
}

export const settingChoices = (text: string) =>
  text ? SETTINGS.filter(({ name }) => contains(name, text)) : [];

/** What else can be typed, beside acts and names. */
export const settingsOf = (session: boolean) =>
  [
    "save view",
    "remove view",
    "density",
    "time zone",
    "theme",
    ...(session ? ["sign out"] : []),
  ].join(", ");

/** Signing out, for a browser that has a session. */
export const sessionChoices = (text: string, session: boolean): Choice[] =>
  session && text && contains(SIGN_OUT, text)
    ? [{ key: SIGN_OUT, name: SIGN_OUT, detail: "ends this session", set: signOut }]
    : [];

const SIGN_OUT = "Sign out";
const WALL = { path: "/wall", name: "Wall, for a team’s screen" };

export const pageChoices = (text: string): Choice[] =>
  [...NAVIGATION, WALL]
    .filter(({ name, path }) => contains(name, text) || contains(path.slice(1), text))
    .map(({ path, name }) => ({
      key: path,
      name,
      detail: "page",
      path,
    }));

export const recentChoices = (rows: readonly Visited[]): Choice[] =>
  rows.map(({ path, name, kind }) => ({
    key: `recent ${path}`,
    name,
    detail: `${kind} · recent`,
    path,
  }));

const SAVE = /^save(?: view)?(?:\s+(?<name>.+))?$/i;
const REMOVE = /^remove(?: view)?(?:\s+(?<name>.+))?$/i;

/** The saved views that a text names; to save the page that is open, or to remove a view. */
export function viewChoices(text: string, key: string | null, open: View): Choice[] {
  if (key === null) return [];
  const views = viewsOf(key);
  const save = SAVE.exec(text);
  if (save) {
    const view = { ...open, name: save.groups?.name ?? open.name };
    const name = `Save this view as “${view.name}”`;
    return [{ key: "save view", name, detail: "in this browser", set: () => saveView(key, view) }];
  }
  const remove = REMOVE.exec(text);
  if (remove)
    return views
      .filter(({ name }) => contains(name, remove.groups?.name ?? ""))
      .map(({ name }) => ({
        key: `remove view ${name}`,
        name: `Remove the view “${name}”`,
        detail: "from this browser",
        set: () => removeView(key, name),
      }));
  return views
    .filter(({ name }) => contains(name, text))
    .map(({ name, path }) => ({ key: `view ${name}`, name, detail: "saved view", path }));
}

/** A thing that was found; `similar`: because its name is like what was typed. */
export function thingChoice(row: Thing, similar = false): Choice {
  return {
    key: `${row.kind} ${row.of ?? ""} ${row.name}`,
    name: row.of ? `${row.of}.${row.name}` : row.name,
    detail: [row.kind, similar && "similar name", row.said].filter(Boolean).join(" · "),
    path: addressOf(row.kind, row.name, row.of),
  };
}

/** The page or dialog that plans an act; nothing is done before it is confirmed there. */
export function actChoice(row: Act, range: Asked["range"]): Choice {
  const numbered = ["backfill", "run", "approval"].includes(row.kind);
  const days = row.act === "backfill" ? Object.entries(range) : [];
  const about = numbered ? `${row.kind} ${row.name}` : row.name;
  return {
    key: `act ${row.act} ${row.kind} ${row.name}`,
    name: [VERBS[row.act] ?? row.act, about, ...days.flat()].join(" ") + "…",
    detail: row.detail,
    path: pathOf(row, range),
  };
}

function pathOf({ act, kind, name }: Act, range: Asked["range"]): string {
  if (act === "backfill")
    return `/backfills/new?${new URLSearchParams({ select: name, ...range })}`;
  const page =
    kind === "approval" ? `/approvals/${encodeURIComponent(name)}` : addressOf(kind, name);
  return `${page}?${new URLSearchParams({ act })}`;
}

/** Whether a text begins with the verb of one of the acts, at least its first letters. */
export function isOrder(text: string, acts: readonly Act[]): boolean {
  const [verb = ""] = text.toLowerCase().split(/\s+/);
  return verb !== "" && acts.some(({ act }) => act.startsWith(verb));
}
