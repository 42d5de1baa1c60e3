// Times are the viewer's, with the project's beside them where the zones differ: 13:00 (07:00 EST).
import { useStatus } from "../api/documents";

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

/** An instant. `plain` leaves out the project's time beside the viewer's. */
export function Time({ at, plain = false }: { at: string; plain?: boolean }) {
  const { timezone: zone, now } = useStatus().data ?? {};
  const instant = new Date(at);
  const here = text(instant, undefined, now);
  const there = zone && text(instant, zone, now);
  const full = `${text(instant, undefined, undefined)} ${zoneName(instant, undefined)}${zone ? ` · project: ${text(instant, zone, undefined)} ${zoneName(instant, zone)}` : ""}`;
  return (
    <time dateTime={at} title={full}>
      <span>{here}</span>
      {!plain && there && there !== here && <> <span className="muted small">({withoutCommon(there, here)} {zoneName(instant, zone)})</span></>}
    </time>
  );
}

/** The words of the project's time from the first on that differs from the viewer's: on the same day only the hour. */
function withoutCommon(there: string, here: string): string {
  const other = here.split(" ");
  const words = there.split(" ");
  return words.slice(words.findIndex((word, index) => word !== other[index])).join(" ");
}

/** EST, CET: American English has abbreviations for the most zones. */
export function zoneName(at: Date, zone: string | undefined): string {
  const options = { timeZoneName: "short", ...(zone ? { timeZone: zone } : {}) } as const;
  return new Intl.DateTimeFormat("en-US", options).formatToParts(at).find((part) => part.type === "timeZoneName")?.value ?? "";
}

/** How long, as people say it: 50 h 40 min, 12 min, 2.4 s, 34 ms. */
export function lasting(seconds: number): string {
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (size < 1) return `${sign}${Math.round(size * 1000)} ms`;
  if (size < 10) return `${sign}${size.toFixed(1)} s`;
  if (size < 60) return `${sign}${Math.round(size)} s`;
  const minutes = Math.round(size / 60);
  if (minutes < 60) return `${sign}${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 96) return `${sign}${Math.round(hours / 24)} days`;
  return `${sign}${hours} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

/** From an instant until the project's now; nothing until that is known, because a replay's is years from the browser's. */
export function Since({ at }: { at: string }) {
  const now = useStatus().data?.now;
  return now ? <>{lasting(Math.max(0, (Date.parse(now) - Date.parse(at)) / 1000))}</> : null;
}
