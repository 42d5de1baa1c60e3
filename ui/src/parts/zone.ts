// The time zone in which this browser shows times: the project's unless the reader chose another.
import { useSyncExternalStore } from "react";
import { useStatus } from "../api/responses";

export type ZoneChoice = "project" | "mine" | "utc";
const KEY = "headrace-time-zone";
const CHANGED = "headrace-time-zone-changed";

export function zoneChoice(): ZoneChoice {
  const stored = localStorage.getItem(KEY);
  return stored === "mine" || stored === "utc" ? stored : "project";
}

export function chooseZone(choice: ZoneChoice): void {
  localStorage.setItem(KEY, choice);
  window.dispatchEvent(new Event(CHANGED));
}

const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The zone of a choice. */
export function zoneOf(choice: ZoneChoice, project: string): string {
  if (choice === "mine") return browserZone();
  return choice === "utc" ? "UTC" : project;
}

/** Another tab of this browser may choose, too. */
function subscribe(changed: () => void): () => void {
  window.addEventListener(CHANGED, changed);
  window.addEventListener("storage", changed);
  return () => {
    window.removeEventListener(CHANGED, changed);
    window.removeEventListener("storage", changed);
  };
}

/** The choice, and the zone of all times; both zones are unknown until the project's is. */
export function useZone(): {
  choice: ZoneChoice;
  zone: string | undefined;
  project: string | undefined;
} {
  const choice = useSyncExternalStore(subscribe, zoneChoice);
  const project = useStatus().data?.timezone;
  return { choice, zone: project && zoneOf(choice, project), project };
}
