import { useStatus } from "../../api/documents";
import { lasting } from "../../parts/Time";

/** How long ago by the project's clock; nothing until that is known, because a replay's is years from the browser's. */
export function Ago({ at }: { at: string }) {
  const now = useStatus().data?.now;
  return now ? <>{lasting(Math.max(0, (Date.parse(now) - Date.parse(at)) / 1000))} ago</> : null;
}
