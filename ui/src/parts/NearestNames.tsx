import { Link } from "react-router";
import { useResponse } from "../api/responses";
import { addressOf } from "./addresses";
import { nearestPages } from "./nearestPages";
import { visibleText } from "./visible";

const NAMES = 8;
const LENGTH_MAX = 120;

/** Pages, consumers, assets, sources and incidents that are called like a name, or similarly. */
export function NearestNames({ to }: { to: string }) {
  const name = to.slice(0, LENGTH_MAX).trim();
  const { data } = useResponse(
    "/api/v1/search",
    { query: { q: name, limit: NAMES, near: true } },
    name !== "",
  );
  const pages = nearestPages(name);
  const rows = (data?.found ?? []).filter((row) => row.kind !== "column");
  if (!name || (!rows.length && !pages.length)) return null;
  return (
    <section aria-label="Nearest names" className="stack">
      <h2>Nearest names</h2>
      <ul className="stack">
        {pages.map((entry) => (
          <li key={entry.path}>
            <Link to={entry.path}>{entry.name}</Link> <span className="muted small">page</span>
          </li>
        ))}
        {rows.map((row) => (
          <li key={`${row.kind} ${row.of ?? ""} ${row.name}`}>
            <Link to={addressOf(row.kind, row.name, row.of)}>{visibleText(row.name)}</Link>{" "}
            <span className="muted small">{row.kind}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
