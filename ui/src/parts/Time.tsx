// Times are of the project's zone, as on the command line and in the server's sentences; the header
// names it once.
import { useStatus } from "../api/responses";
import { formatDuration } from "./durations";
import { instantText, viewerText } from "./times";

/** An instant in the project's zone; its title adds the zone and the viewer's own time. */
export function Time({ at }: { at: string }) {
  const { timezone: zone, now } = useStatus().data ?? {};
  const instant = new Date(at);
  const full = `${instantText(instant, zone ?? "UTC")} ${zone ?? "UTC"}`;
  const title = [full, viewerText(instant, zone ?? "UTC")].filter(Boolean).join(" · ");
  return (
    <time dateTime={at} title={title}>
      <span>{zone ? instantText(instant, zone, now) : full}</span>
    </time>
  );
}

/** The project's clock with its date and its zone: every other time on the page is of that zone. */
export function Clock({ now, zone }: { now: string; zone: string }) {
  const instant = new Date(now);
  const viewer = viewerText(instant, zone);
  return (
    <time dateTime={now}>
      {instantText(instant, zone)} {zone}
      {viewer && ` (${viewer})`}
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
