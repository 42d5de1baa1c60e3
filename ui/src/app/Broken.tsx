import { useRouteError } from "react-router";

/** A page that failed by its own fault; the rest goes on. */
export function Broken() {
  const error = useRouteError();
  return (
    <div className="stack">
      <h1>This page failed</h1>
      <p>
        {error instanceof Error ? error.message : "It couldn’t be fetched."} What you did before is
        done; nothing else is.
      </p>
      <p>
        <button type="button" className="button main" onClick={() => window.location.reload()}>
          Load it again
        </button>
      </p>
    </div>
  );
}
