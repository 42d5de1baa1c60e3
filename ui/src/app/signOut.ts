import { perform } from "../api/acts";
import { queries } from "../api/responses";
import { forgetVisits } from "../parts/recent";

/** Ends the session of this browser, and forgets what it has looked at. */
export function signOut(): void {
  void perform("/api/v1/session/end", {}, () => undefined).finally(() => {
    forgetVisits();
    return queries.invalidateQueries();
  });
}
