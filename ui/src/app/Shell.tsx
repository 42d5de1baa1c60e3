// What is around every page: the way to it, how it stands, whether what is shown is of now.
import { useEffect, useRef, useState } from "react";
import { Link, NavLink, Outlet, useLocation, useNavigate } from "react-router";
import type { Schema } from "../api/client";
import { useResponse, useStatus } from "../api/responses";
import { useLive } from "../api/live";
import { formatDuration } from "../parts/durations";
import { Clock } from "../parts/Time";
import { Shape } from "../parts/State";
import { instantText } from "../parts/times";
import { useZone } from "../parts/zone";
import { useKeys } from "./keys";
import { Help } from "./Help";
import { LoginNeeded } from "./LoginNeeded";
import { GROUPS, NAVIGATION } from "./navigation";
import { Palette } from "./Palette";
import { signOut } from "./signOut";
import { ZoneSwitch } from "./ZoneSwitch";
import { applyTheme, theme, type Theme } from "./theme";

const THEMES: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

export function Shell() {
  const status = useStatus();
  const live = useLive();
  const [open, setOpen] = useState<"palette" | "help" | null>(null);
  const mainRef = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  useGo(() => setOpen("help"));
  useEffect(() => {
    const listener = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setOpen("palette");
      }
    };
    window.addEventListener("keydown", listener);
    return () => window.removeEventListener("keydown", listener);
  }, []);
  useEffect(() => mainRef.current?.focus({ preventScroll: true }), [pathname]); // a screen reader goes on in the page, not in the link

  if (status.error?.status === 401) return <LoginNeeded />;
  return (
    <div className="shell" data-live={live.state}>
      <a className="skip" href="#main">
        To the page
      </a>
      <header className="top">
        <Link className="brand" to="/" aria-label="Headrace, Today">
          <svg width="20" height="20" viewBox="0 0 16 16" aria-hidden="true">
            <path
              d="M1 10h3l2-6 3.4 8.5L11.5 8H15"
              fill="none"
              stroke="var(--accent)"
              strokeWidth="1.7"
              strokeLinecap="round"
              strokeLinejoin="round"
            />
          </svg>
          <span>Headrace</span>
        </Link>
        <button type="button" className="button find" onClick={() => setOpen("palette")}>
          Find or do… <kbd>{navigator.userAgent.includes("Mac") ? "⌘K" : "Ctrl K"}</kbd>
        </button>
        <div className="where">
          {status.data && <Where status={status.data} />}
          <ZoneSwitch />
          <LivePill />
          <ThemeButton />
          <Person />
        </div>
      </header>
      <Nav />
      <main className="page" id="main" ref={mainRef} tabIndex={-1}>
        {live.state === "stale" && (
          <div className="notice tone-warn">
            <p>
              <strong role="alert">The server doesn’t answer.</strong> What is shown is as of{" "}
              <HeardAt since={live.since} />, <Age since={live.since} /> old; it goes on by itself
              once the server is back.
            </p>
          </div>
        )}
        <div className="shown">
          <Outlet />
        </div>
      </main>
      {open === "palette" && <Palette close={() => setOpen(null)} />}
      {open === "help" && <Help close={() => setOpen(null)} />}
    </div>
  );
}

function Where({ status }: { status: Schema["StatusResponse"] }) {
  return (
    <span className="project muted small">
      <span className="named">
        {status.project} · {status.env} ·{" "}
      </span>
      <Clock now={status.now} /> {status.clock === "replay" && "(replay clock)"}
    </span>
  );
}

/** When the server was last heard: 14:03 Europe/Berlin. */
export function HeardAt({ since }: { since: number }) {
  const zone = useZone().zone ?? "UTC";
  const at = new Date(since);
  return (
    <time dateTime={at.toISOString()}>
      {instantText(at, zone, at.toISOString())} {zone}
    </time>
  );
}

const AGE_MS = 5_000;

/** How long ago the server was last heard, by the browser's clock: 35 s, 12 min. */
export function Age({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), AGE_MS);
    return () => window.clearInterval(timer);
  }, []);
  return <>{formatDuration((now - since) / 1000)}</>;
}

export function LivePill() {
  const live = useLive();
  const label = { live: "Live", connecting: "Connecting", stale: "Stale" }[live.state];
  const tone = { live: "tone-good", connecting: "tone-idle", stale: "tone-bad" }[live.state];
  return (
    <span
      className={`live ${tone}`}
      role="status"
      title={live.state === "live" ? "Changes appear by themselves" : "What is shown may be old"}
    >
      <Shape of={live.state === "live" ? "good" : live.state === "connecting" ? "busy" : "bad"} />
      {label}
      {live.state === "stale" && (
        <span aria-hidden="true">
          <Age since={live.since} /> old
        </span>
      )}
    </span>
  );
}

function ThemeButton() {
  const [chosen, setChosen] = useState(theme);
  const next = THEMES[chosen];
  const change = () => {
    applyTheme(next);
    setChosen(next);
  };
  return (
    <button
      type="button"
      className="button plain"
      onClick={change}
      aria-label={`Theme: ${chosen}; change to ${next}`}
      title={`Theme: ${chosen}`}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" strokeWidth="1.5" />
        <path
          d={
            chosen === "light"
              ? ""
              : chosen === "dark"
                ? "M8 1.8a6.2 6.2 0 1 1 0 12.4 6.2 6.2 0 1 1 0-12.4"
                : "M8 1.8a6.2 6.2 0 0 1 0 12.4z"
          }
          fill="currentColor"
        />
      </svg>
    </button>
  );
}

/** Who is signed in, and the way out. */
export function Person() {
  const { data } = useResponse("/api/v1/session", {});
  if (!data) return null;
  const who = data.name || data.who.replace(/^user:/, "");
  return (
    <span className="person small">
      <span className="muted" title={data.who}>
        {who}
      </span>
      {data.session && (
        <button type="button" className="button plain" onClick={signOut}>
          Sign out
        </button>
      )}
    </span>
  );
}

function Nav() {
  const status = useStatus().data;
  const counts: Record<string, number> = {
    "/incidents": status?.incidents_open ?? 0,
    "/consumers": status?.consumers_unserved ?? 0,
    "/plan": status?.not_applied ?? 0,
  };
  return (
    <nav className="nav" aria-label="Pages">
      <ul>
        {GROUPS.flatMap((group) => {
          const entries = NAVIGATION.filter((entry) => entry.group === group);
          if (!entries.length) return [];
          return [
            ...(group
              ? [
                  <li key={group} className="group">
                    {group}
                  </li>,
                ]
              : []),
            ...entries.map((entry) => (
              <li key={entry.path}>
                <NavLink to={entry.path} end={entry.path === "/"}>
                  {entry.name}
                  {!!counts[entry.path] && <span className="count">{counts[entry.path]}</span>}
                </NavLink>
              </li>
            )),
          ];
        })}
      </ul>
    </nav>
  );
}

/** `g` and a page's key goes there, also while another page is on its way; `?` shows the keys. */
function useGo(help: () => void): void {
  const navigate = useNavigate();
  const goingRef = useRef(false);
  useKeys((key) => {
    if (key === "?") return (help(), true);
    const entry = goingRef.current ? NAVIGATION.find((row) => row.key === key) : undefined;
    goingRef.current = key === "g" && !entry;
    if (entry) void navigate(entry.path);
    return goingRef.current || entry !== undefined;
  });
}
