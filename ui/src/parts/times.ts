// How a point in time is written, in the project's time zone or in the viewer's.

type Parts = Record<string, string>;

/**
 * Formats of one kind by zone. Making one takes twenty times as long as using it, and a table has
 * several times in each row. The viewer's own zone may change while the page is open.
 */
function formatsOf(language: string, options: Intl.DateTimeFormatOptions) {
  const formats = new Map<string, Intl.DateTimeFormat>();
  return (zone: string | undefined): Intl.DateTimeFormat => {
    const key = zone ?? String(new Date().getTimezoneOffset());
    const known = formats.get(key);
    if (known) return known;
    const made = new Intl.DateTimeFormat(language, {
      ...options,
      ...(zone ? { timeZone: zone } : {}),
    });
    formats.set(key, made);
    return made;
  };
}

const dateFormat = formatsOf("en-GB", {
  weekday: "short",
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const zoneFormat = formatsOf("en-US", { timeZoneName: "short" });

/** The parts of an instant's date and time; of the viewer's own time zone without `zone`. */
function partsOf(at: Date, zone: string | undefined): Parts {
  const parts = dateFormat(zone).formatToParts(at);
  return Object.fromEntries(parts.map((part) => [part.type, part.value]));
}

/**
 * Thu 12:20 on the day of `now`, Tue 02-12 12:20 on another day of its year, Mon 2012-12-31 12:20
 * in another year, or where `now` isn't known.
 */
export function instantText(at: Date, zone: string | undefined, now?: string): string {
  const {
    weekday = "",
    year = "",
    month = "",
    day = "",
    hour = "",
    minute = "",
  } = partsOf(at, zone);
  const today = now === undefined ? {} : partsOf(new Date(now), zone);
  const time = `${hour}:${minute}`;
  if (year !== today.year) return `${weekday} ${year}-${month}-${day} ${time}`;
  if (month !== today.month || day !== today.day) return `${weekday} ${month}-${day} ${time}`;
  return `${weekday} ${time}`;
}

/** An instant on the viewer's clock, where that differs from the project's: Tue 16:00 GMT+9 here. */
export function viewerText(at: Date, zone: string): string {
  const now = at.toISOString();
  const viewer = instantText(at, undefined, now);
  return viewer === instantText(at, zone, now) ? "" : `${viewer} ${zoneName(at)} here`;
}

/** 07:20:05 in a time zone, UTC without one. */
export function secondOf(at: string, zone: string | undefined): string {
  return new Date(at).toLocaleTimeString("en-GB", { timeZone: zone ?? "UTC" });
}

/** The time of day in a time zone, in seconds since midnight. */
export function clockOf(at: string, zone: string): number {
  const { hour, minute } = partsOf(new Date(at), zone);
  return Number(hour) * 3_600 + Number(minute) * 60;
}

/** 2025-02-10, the date in a time zone. */
export function dateOf(at: string, zone: string): string {
  const { year = "", month = "", day = "" } = partsOf(new Date(at), zone);
  return `${year}-${month}-${day}`;
}

/** 2025-02-10 12:20, in a time zone. */
export function minuteText(at: string, zone: string): string {
  const { hour = "", minute = "" } = partsOf(new Date(at), zone);
  return `${dateOf(at, zone)} ${hour}:${minute}`;
}

/** 23:30 on a date, Sun 03-02 23:30 where the zone has another date at that instant. */
export function clockText(at: string, zone: string, date: string): string {
  const { hour = "", minute = "" } = partsOf(new Date(at), zone);
  if (dateOf(at, zone) === date) return `${hour}:${minute}`;
  return instantText(new Date(at), zone, `${date}T12:00:00Z`);
}

/** EST, GMT+1: American English has abbreviations for the most zones; of the viewer's without `zone`. */
export function zoneName(at: Date, zone?: string): string {
  const parts = zoneFormat(zone).formatToParts(at);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "";
}

export const MONTHS = [
  "Jan",
  "Feb",
  "Mar",
  "Apr",
  "May",
  "Jun",
  "Jul",
  "Aug",
  "Sep",
  "Oct",
  "Nov",
  "Dec",
];

/** The month of a date, short. */
export const monthOf = (date: string): string => MONTHS[Number(date.slice(5, 7)) - 1] ?? "";
