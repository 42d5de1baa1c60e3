// The open incidents of a node besides the one that its heading opens.
import { Link } from "react-router";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { visibleText } from "../../parts/visible";

/** Its own causes, and those that hold its partitions; nothing where there is no other. */
export function OtherIncidents({ name, shown }: { name: string; shown: string | null }) {
  const { data } = useResponse("/api/v1/incidents", {});
  const others = (data ?? []).filter(
    ({ id, cause, affected }) =>
      id !== shown && (cause.node === name || affected.assets.includes(name)),
  );
  if (!others.length) return null;
  return (
    <div className="notice tone-warn">
      <div>
        <p>
          <strong>{shown === null ? "Open incidents" : "Other open incidents"}</strong>
        </p>
        <ul>
          {others.map(({ id, cause }) => (
            <li key={id}>
              <Link to={addressOf("incident", id)}>{id}</Link> {cause.node}:{" "}
              {visibleText(cause.summary)}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
