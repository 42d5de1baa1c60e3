// An address that names nothing: what is called alike.
import { Link, useLocation } from "react-router";
import { NearestNames } from "../parts/NearestNames";
import { usePageTitle } from "../parts/Page";
import { visibleText } from "../parts/visible";

export function NotFound() {
  const { pathname } = useLocation();
  usePageTitle("No such page");
  return (
    <div className="stack">
      <h1>There is no page at this address</h1>
      <p className="mono" style={{ overflowWrap: "anywhere" }}>
        {visibleText(pathname)}
      </p>
      <NearestNames to={lastPart(pathname)} />
      <p>
        <Link to="/">Today</Link> says who waits, and why. <kbd>Ctrl K</kbd> finds anything by its
        name.
      </p>
    </div>
  );
}

/** The last part of an address, as it was before it was encoded. */
function lastPart(pathname: string): string {
  const part = pathname.split("/").findLast(Boolean) ?? "";
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // no text that was ever encoded
  }
}
