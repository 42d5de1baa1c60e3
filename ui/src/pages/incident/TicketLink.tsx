import { visibleText } from "../../parts/visible";

const LENGTH_MAX = 48;

/** A link to an incident's ticket in another system: its address without the scheme, cut if long. */
export function TicketLink({ url }: { url: string }) {
  const address = visibleText(url.replace(/^https?:\/\//i, ""));
  return (
    <a href={url} title={url} target="_blank" rel="noopener noreferrer">
      {address.length > LENGTH_MAX ? `${address.slice(0, LENGTH_MAX - 1)}…` : address}
    </a>
  );
}
