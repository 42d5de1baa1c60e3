import { useEffect, useRef } from "react";
import { useSearchParams } from "react-router";

const NAME = "act";

/**
 * Opens the dialog of the act that the address asks for (`?act=pause`), if it is one of those that
 * the page offers now. The address then forgets it: going back or reloading doesn't ask again.
 */
export function useAsked<A extends string>(offered: readonly A[], open: (act: A) => void): void {
  const [params, setParams] = useSearchParams();
  const asked = params.get(NAME);
  // the address changes a moment later: a dialog that is closed meanwhile must stay closed
  const answeredRef = useRef<string | null>(null);
  useEffect(() => {
    const answered = answeredRef.current;
    answeredRef.current = asked;
    if (asked === null || asked === answered) return;
    const act = offered.find((name) => name === asked);
    if (act) open(act);
    const others = new URLSearchParams(params);
    others.delete(NAME);
    setParams(others, { replace: true, preventScrollReset: true });
  }, [asked, offered, open, params, setParams]);
}
