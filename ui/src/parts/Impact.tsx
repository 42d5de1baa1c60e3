// Whom an act on these nodes reaches, said before it is done.
import { useResponse } from "../api/responses";
import { Refusal } from "./Page";
import { many } from "./words";

/** So many of what is made of it are named. */
const NAMED_MAX = 8;

export function Impact({ select }: { select: readonly string[] }) {
  const response = useResponse(
    "/api/v1/effect",
    { query: { select: [...select] } },
    select.length > 0,
  );
  if (!select.length) return null;
  if (response.error) return <Refusal problem={response.error} />;
  if (!response.data || response.isPlaceholderData)
    return (
      <p role="status" className="muted">
        Looking whom it reaches…
      </p>
    );
  const { downstream, consumers, owners } = response.data;
  return (
    <dl className="facts">
      <dt>Reaches</dt>
      <dd>
        {consumers.length
          ? `${many(consumers.length, "consumer")}: ${consumers.join(", ")}`
          : "no consumer"}
      </dd>
      <dt>Made of it</dt>
      <dd>
        {many(downstream.length, "asset")}
        {downstream.length > 0 &&
          `: ${downstream.slice(0, NAMED_MAX).join(", ")}${downstream.length > NAMED_MAX ? "…" : ""}`}
      </dd>
      <dt>Owners</dt>
      <dd>{owners.join(", ") || "nobody"}</dd>
    </dl>
  );
}
