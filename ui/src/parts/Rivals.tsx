// The new columns that came close to being proposed for a renamed column.
import type { Schema } from "../api/client";
import { cellText } from "./values";

/** Nothing where no other columns were compared, or where it wasn't kept. */
export function Rivals({ rows }: { rows: readonly Schema["RivalRow"][] | null }) {
  if (rows === null) return null;
  if (!rows.length) return <p className="muted small">No other new column came close.</p>;
  return (
    <div className="small">
      <p className="muted">Came close:</p>
      <ul>
        {rows.map((rival) => (
          <li key={rival.column}>
            <code>{cellText(rival.column)}</code> {scoreText(rival.score)}
            {rival.why !== null && <span className="muted">: {rival.why}</span>}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A score from 0 to 1 in percent; scores have two decimals. */
export function scoreText(score: number | string): string {
  const percent = Math.round(Number(score) * 100);
  return percent > 0 ? `${percent} %` : "< 1 %";
}
