// How far an act is, and what it came to.
import type { Act } from "../api/acts";
import { Shape } from "./State";

/** An act under way. */
export function ActProgress({ progress }: { progress: Act | null }) {
  const { what = "", done = 0, total = null, ahead = "", notes = [] } = progress ?? {};
  return (
    <div className="stack" role="status" aria-live="polite">
      <p className="row">
        <span className="spinning tone-busy" style={{ lineHeight: 0 }}>
          <Shape of="busy" size={18} />
        </span>{" "}
        <strong>{what || "At it"}</strong> {total !== null && total > 0 && `${done} of ${total}`}{" "}
        <span className="muted">{ahead}</span>
      </p>
      <progress
        aria-label="Progress"
        max={total ?? undefined}
        value={total ? done : undefined}
        style={{ width: "100%" }}
      />
      {notes.length > 0 && (
        <ul className="small muted">
          {notes.map((note, index) => (
            // eslint-disable-next-line @eslint-react/no-array-index-key -- notes are only added, and may say the same twice
            <li key={index}>{note}</li>
          ))}
        </ul>
      )}
      <p className="small muted">This window may be closed: it goes on.</p>
    </div>
  );
}
