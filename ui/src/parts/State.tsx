// A state by shape and by colour and by its word: no one of them is needed to tell it.
export type Tone = "good" | "warn" | "bad" | "idle" | "busy";

const TONES: Record<string, Tone> = {
  served: "good",
  fresh: "good",
  published: "good",
  met: "good",
  resolved: "good",
  succeeded: "good",
  passed: "good",
  effective: "good",
  approved: "good",
  recovering: "busy",
  at_risk: "warn",
  behind: "warn",
  held: "warn",
  warned: "warn",
  warning: "warn",
  partial: "warn",
  stale: "warn",
  paused: "warn",
  quarantined: "warn",
  dropped: "warn",
  wrong: "bad",
  late: "bad",
  rejected: "bad",
  failed: "bad",
  lost: "bad",
  open: "bad",
  missing: "bad",
  error: "bad",
  cannot_fail: "bad",
  running: "busy",
  queued: "busy",
  planned: "busy",
  due: "idle",
};
const LABELS: Record<string, string> = {
  at_risk: "at risk",
  cannot_fail: "can’t fail",
  never_ran: "never ran",
  nothing_due: "nothing due",
  awaiting_approval: "awaiting approval",
};

const SHAPES: Record<Tone, React.ReactNode> = {
  good: (
    <>
      <circle cx="8" cy="8" r="6.25" fill="none" stroke="currentColor" strokeWidth="1.5" />
      <path d="m5 8.2 2.1 2.1L11 6.2" fill="none" stroke="currentColor" strokeWidth="1.7" />
    </>
  ),
  warn: (
    <>
      <path
        d="M8 1.8 15 14H1z"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        strokeLinejoin="round"
      />
      <path d="M8 6v4M8 11.4v1.2" stroke="currentColor" strokeWidth="1.6" />
    </>
  ),
  bad: (
    <>
      <path d="M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2z" fill="currentColor" />
      <path d="m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8" stroke="var(--surface)" strokeWidth="1.6" />
    </>
  ),
  idle: (
    <circle
      cx="8"
      cy="8"
      r="5.5"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeDasharray="2.6 2.2"
    />
  ),
  busy: (
    <>
      <circle
        cx="8"
        cy="8"
        r="6"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        opacity="0.4"
      />
      <path d="M8 2a6 6 0 0 1 6 6" fill="none" stroke="currentColor" strokeWidth="1.8" />
    </>
  ),
};

const CLOCK = (
  <>
    <circle cx="8" cy="8" r="6.25" fill="none" stroke="currentColor" strokeWidth="1.5" />
    <path d="M8 4.2V8l2.6 1.8" fill="none" stroke="currentColor" strokeWidth="1.6" />
  </>
);
const PAUSE = <path d="M4.5 2.5h2.4v11H4.5zM9.1 2.5h2.4v11H9.1z" fill="currentColor" />;
const HOLE = (
  <rect
    x="2.5"
    y="2.5"
    width="11"
    height="11"
    rx="2"
    fill="none"
    stroke="currentColor"
    strokeWidth="1.6"
    strokeDasharray="2.8 2.2"
  />
);
const BOX = (
  <>
    <rect
      x="2"
      y="2"
      width="12"
      height="12"
      rx="2"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
    />
    <path d="M5 8h6" stroke="currentColor" strokeWidth="1.7" />
  </>
);
/** States that have a shape of their own within their tone. */
const STATE_SHAPES: Record<string, React.ReactNode> = {
  late: CLOCK,
  behind: CLOCK,
  stale: CLOCK,
  paused: PAUSE,
  held: BOX,
  missing: HOLE,
  quarantined: BOX,
};

/** An entry of a table; a state that is named like a property of every object has none. */
function own<V>(table: Record<string, V>, state: string): V | undefined {
  return Object.hasOwn(table, state) ? table[state] : undefined;
}

export function toneOf(state: string): Tone {
  return own(TONES, state) ?? "idle";
}

export function labelOf(state: string): string {
  return own(LABELS, state) ?? state.replaceAll("_", " ");
}

export function Shape({ of, state = "", size = 14 }: { of: Tone; state?: string; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      {own(STATE_SHAPES, state) ?? SHAPES[of]}
    </svg>
  );
}

/** A state as a pill: shape, colour, word. `of` is the API's word for it. */
export function State({ of }: { of: string }) {
  const tone = toneOf(of);
  return (
    <span className={`state tone-${tone}`}>
      <Shape of={tone} state={of} />
      {labelOf(of)}
    </span>
  );
}
