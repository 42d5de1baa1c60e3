// The graph of a past time: a slider over a window, its changes, and a time-lapse. Always labelled, so that nobody takes it for now.
import { useEffect, useState } from "react";
import type { Schema } from "../../api/client";
import { useStatus } from "../../api/responses";
import { Refusal } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { labelOf, toneOf } from "../../parts/State";
import { instantText, secondOf, zoneName } from "../../parts/times";
import { many } from "../../parts/words";
import { useZone } from "../../parts/zone";
import { WINDOWS, useSetPast, type Player, type usePast } from "./past";
import { after, changesAt, type Changes } from "./replay";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const SETTLED_MS = 200;
/** The marks of a window: more would be drawn over each other. */
const MARKS = 300;
const NAMED = 3;

/** Opens the last 24 hours at their beginning. */
export function OpenPast() {
  const now = useStatus().data?.now;
  const setPast = useSetPast();
  if (now === undefined) return null;
  const until = Date.parse(now);
  return (
    <button
      type="button"
      className="button"
      onClick={() => setPast({ at: until - DAY_MS, until, hours: 24 }, false)}
    >
      As it stood…
    </button>
  );
}

/** Thu 03-04 03:10:05 UTC. */
function useTimeText(): (at: number) => string {
  const now = useStatus().data?.now;
  const { zone = "UTC" } = useZone();
  return (at) => {
    const date = new Date(at);
    return `${instantText(date, zone, now)}${secondOf(date.toISOString(), zone).slice(-3)} ${zoneName(date, zone)}`;
  };
}

export function AsItStood({
  past,
  player,
}: {
  past: NonNullable<ReturnType<typeof usePast>>;
  player: Player;
}) {
  const setPast = useSetPast();
  const now = useStatus().data?.now;
  const text = useTimeText();
  const { view, changes, playing } = player;
  return (
    <section className="panel as-it-stood" aria-label="As it stood">
      <p role={playing ? undefined : "status"}>
        {view?.at && <strong>As it stood at {text(Date.parse(view.at))}</strong>}
        {view?.at && <LastChange player={player} text={text} />}
      </p>
      <div className="row">
        <button
          type="button"
          className="button"
          onClick={() => player.step(-1)}
          disabled={!player.stops.some((stop) => stop < player.at)}
        >
          Previous change
        </button>
        <button
          type="button"
          className="button"
          onClick={playing ? player.pause : player.play}
          disabled={!changes}
        >
          {playing ? "Pause" : "Play"}
        </button>
        <button
          type="button"
          className="button"
          onClick={() => player.step(1)}
          disabled={!player.stops.some((stop) => stop > player.at)}
        >
          Next change
        </button>
        <Slider past={past} player={player} text={text} />
        <Select
          name="Window"
          value={`${past.hours}`}
          choices={WINDOWS}
          choose={(hours) => setPast({ ...past, hours: Number(hours) })}
          inline
        />
        <button type="button" className="button" onClick={() => setPast(null, false)}>
          Now
        </button>
      </div>
      {player.problem && <Refusal problem={player.problem} />}
      <p className="muted small">
        {text(player.from)} to {text(past.until)}
        {changes && ` · ${many(changes.changes.length, "change")}`}
        {changes && beginsLate(changes, past.from)}
        {now && Date.parse(now) - past.until > MINUTE_MS && " · the window ends before now"}. Nodes
        have the state of their last attempt, of whichever partition: what was stale or behind then
        isn’t stored. Consumers have the state that was known then.
        {playing && " While it plays, cards have no incidents, intervals and pauses."}
      </p>
    </section>
  );
}

function beginsLate(changes: Changes, from: number): string {
  if (changes.more) return " · older ones of this window aren’t listed";
  return Date.parse(changes.from) > from + MINUTE_MS ? " · nothing had been applied before" : "";
}

/** The last change by a time: at a stop what changed there. */
function LastChange({ player, text }: { player: Player; text: (at: number) => string }) {
  const stop = player.stops.findLast((time) => time <= player.at);
  const rows = stop === undefined ? [] : changesAt(player.changes, stop);
  if (stop === undefined || !rows.length) return null;
  const named = rows
    .slice(0, NAMED)
    .map((row) => `${row.node}: ${labelOf(row.was)} → ${labelOf(row.state)}`);
  return (
    <>
      {" "}
      · {stop < player.at && `last change ${text(stop)}: `}
      {named.join(", ")}
      {rows.length > NAMED && ` and ${rows.length - NAMED} more`}
    </>
  );
}

/** Moves by minutes with the mouse, from change to change with the arrow keys. */
function Slider({
  past,
  player,
  text,
}: {
  past: NonNullable<ReturnType<typeof usePast>>;
  player: Player;
  text: (at: number) => string;
}) {
  const [dragged, setDragged] = useState<number | null>(null);
  useEffect(() => {
    if (dragged === null) return;
    const timer = setTimeout(() => {
      player.moveTo(dragged);
      setDragged(null);
    }, SETTLED_MS);
    return () => clearTimeout(timer);
    // eslint-disable-next-line react-hooks/exhaustive-deps -- only a further move begins anew
  }, [dragged]);
  const at = dragged ?? player.at;
  return (
    <span className="slider">
      <Marks changes={player.changes} from={player.from} until={past.until} />
      <input
        type="range"
        aria-label="As it stood at"
        aria-valuetext={text(at)}
        min={player.from}
        max={past.until}
        value={at}
        onChange={({ target }) => setDragged(Number(target.value))}
        onKeyDown={(event) => {
          const step = STEPS[event.key];
          if (step === undefined) return;
          event.preventDefault();
          player.step(step);
        }}
      />
    </span>
  );
}

const STEPS: Record<string, -1 | 1 | undefined> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
};

/** Where in the window states changed; what broke is in its colour. */
function Marks({
  changes,
  from,
  until,
}: {
  changes: Changes | undefined;
  from: number;
  until: number;
}) {
  const marks = new Map<number, string>();
  for (const change of changes?.changes ?? []) {
    const place = Math.round(((after(change.at) - from) / (until - from)) * MARKS);
    const bad = toneOf(change.state) === "bad";
    if (bad || !marks.has(place)) marks.set(place, bad ? "bad" : "idle");
  }
  return (
    <svg className="marks" viewBox={`0 0 ${MARKS} 8`} preserveAspectRatio="none" aria-hidden="true">
      {[...marks].map(([place, tone]) => (
        <rect
          key={place}
          x={place}
          width="1"
          height="8"
          className={`tone-${tone}`}
          fill="currentColor"
        />
      ))}
    </svg>
  );
}

/** Why a past view has no cards. */
export function Absent({ view }: { view: Schema["GraphView"] }) {
  return <p className="empty">{view.note}</p>;
}
