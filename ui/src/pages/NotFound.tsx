import { Link, useLocation } from "react-router";
import { usePageTitle } from "../parts/Page";

export function NotFound() {
  const { pathname } = useLocation();
  usePageTitle("No such page");
  return (
    <div className="stack">
      <h1>There is no page at this address</h1>
      <p className="mono">{pathname}</p>
      <p>
        <Link to="/">Today</Link> says who waits, and why.
      </p>
    </div>
  );
}
