// Times are of the zone that the reader chose, by default the project's, as on the command line and
// in the server's sentences; the header names it. In another one each time has its zone beside it.
import { useStatus } from "../api/responses";
import { formatDuration } from "./durations";
import { clockText, instantText, viewerText, zoneName } from "./times";
import { useZone } from "./zone";

/** An instant in the chosen zone; its title adds the zone and the viewer's own time. */
export function Time({ at }: { at: string }) {
  const now = useStatus().data?.now;
  return <Written at={at} text={(instant, zone) => instantText(instant, zone, now)} />;
}

/** The time of day of an instant below a date of the project; with its day where that is another. */
export function TimeOfDay({ at, date }: { at: string; date: string }) {
  return <Written at={at} text={(_, zone) => clockText(at, zone, date)} />;
}

function Written({ at, text }: { at: string; text: (instant: Date, zone: string) => string }) {
  const { zone, project } = useZone();
  const instant = new Date(at);
  const full = `${instantText(instant, zone ?? "UTC")} ${zone ?? "UTC"}`;
  const title = [full, viewerText(instant, zone ?? "UTC")].filter(Boolean).join(" · ");
  return (
    <time dateTime={at} title={title}>
      <span>
        {zone ? text(instant, zone) : full}
        {zone !== project && zone && ` ${zoneName(instant, zone)}`}
      </span>
    </time>
  );
}

/** The clock with its date and its zone, and beside it the project's or the viewer's. */
export function Clock({ now }: { now: string }) {
  const { zone, project } = useZone();
  if (!zone || !project) return null;
  const instant = new Date(now);
  const viewer = viewerText(instant, zone);
  const beside =
    zone === project
      ? viewer
      : `${instantText(instant, project, now)} ${project} in sentences and on dates`;
  return (
    <time dateTime={now}>
      {instantText(instant, zone)} {zone}
      {beside && ` (${beside})`}
    </time>
  );
}

type SinceProps = { at: string; suffix: "ago" | "so far"; before?: string };

/**
 * From an instant until the project's now: 50 h 40 min ago, 12 s so far. Nothing until the
 * project's now is known: that of a replay is years from the browser's.
 */
export function Since({ at, suffix, before = "" }: SinceProps) {
  const now = useStatus().data?.now;
  if (!now) return null;
  const seconds = Math.max(0, (Date.parse(now) - Date.parse(at)) / 1000);
  return (
    <>
      {before}
      {formatDuration(seconds)} {suffix}
    </>
  );
}
