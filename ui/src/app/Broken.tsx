import { useEffect, useState } from "react";
import { useRouteError } from "react-router";
import { isLost, useLive } from "../api/live";

/** A page that failed by its own fault, or that couldn't be fetched; the rest goes on. */
export function Broken() {
  const error = useRouteError();
  const [lost] = useState(isLost);
  return lost ? (
    <NotFetched />
  ) : (
    <div className="stack">
      <h1>This page failed</h1>
      <p>
        {error instanceof Error ? `${error.message}. ` : ""}An error of a page changes nothing in
        the project.
      </p>
      <p>
        <button type="button" className="button main" onClick={() => window.location.reload()}>
          Load it again
        </button>
      </p>
    </div>
  );
}

/** A page that is opened for the first time while the server is away; it is loaded once that is back. */
function NotFetched() {
  const { state } = useLive();
  useEffect(() => {
    if (state === "live") window.location.reload();
  }, [state]);
  return (
    <div className="stack">
      <h1>The server can’t be reached</h1>
      <p>This page wasn’t fetched before. It opens by itself once the server is back.</p>
    </div>
  );
}
