// Times are of the project's zone, as on the command line and in the server's sentences; the header names it once.
import { useStatus } from "../api/responses";
import { lasting } from "./durations";

function parts(at: Date, zone: string | undefined): Partial<Record<Intl.DateTimeFormatPartTypes, string>> {
  const found = new Intl.DateTimeFormat("en-GB", {
    weekday: "short", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
    ...(zone ? { timeZone: zone } : {}),
  }).formatToParts(at);
  return Object.fromEntries(found.map((part) => [part.type, part.value]));
}

/** Thu 12:20 today, Tue 02-12 12:20 on another day of the year, Mon 2012-12-31 12:20 in another year, or where `now` isn't known. */
function text(at: Date, zone: string | undefined, now: string | undefined): string {
  const of = parts(at, zone);
  const today = now ? parts(new Date(now), zone) : {};
  const sameYear = of.year === today.year;
  const sameDay = sameYear && of.month === today.month && of.day === today.day;
  const date = !sameYear ? ` ${of.year}-${of.month}-${of.day}` : sameDay ? "" : ` ${of.month}-${of.day}`;
  return `${of.weekday}${date} ${of.hour}:${of.minute}`;
}

/** An instant in the project's zone, which the header names; of the viewer's where it is pointed at. */
export function Time({ at }: { at: string }) {
  const { timezone: zone, now } = useStatus().data ?? {};
  const instant = new Date(at);
  const full = `${text(instant, zone ?? "UTC", undefined)} ${zone ?? "UTC"}`;
  return (
    <time dateTime={at} title={[full, hereOf(instant, zone ?? "UTC")].filter(Boolean).join(" · ")}>
      <span>{zone ? text(instant, zone, now) : full}</span>
    </time>
  );
}

/** The project's clock with its date and its zone: every other time on the page is of that zone. */
export function Clock({ now, zone }: { now: string; zone: string }) {
  const instant = new Date(now);
  return <time dateTime={now}>{text(instant, zone, undefined)} {zone}{hereOf(instant, zone) && ` (${hereOf(instant, zone)})`}</time>;
}

/** An instant on the viewer's clock, where that differs: Tue 16:00 GMT+9 here. */
function hereOf(at: Date, zone: string): string {
  const here = text(at, undefined, at.toISOString());
  return here === text(at, zone, at.toISOString()) ? "" : `${here} ${zoneName(at)} here`;
}

/** 07:20:05 in a zone. */
export function secondOf(at: string, zone: string | undefined): string {
  return new Date(at).toLocaleTimeString("en-GB", { timeZone: zone ?? "UTC" });
}

/** EST, CET: American English has abbreviations for the most zones. */
function zoneName(at: Date): string {
  return new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(at).find((part) => part.type === "timeZoneName")?.value ?? "";
}

/** From an instant until the project's now: 50 h 40 min ago, 12 s so far; nothing until that is known, because a replay's is years from
 * the browser's. `after` is what stands before it. */
export function Since({ at, said, after = "" }: { at: string; said: "ago" | "so far"; after?: string }) {
  const now = useStatus().data?.now;
  return now ? <>{after}{lasting(Math.max(0, (Date.parse(now) - Date.parse(at)) / 1000))} {said}</> : null;
}
