// Buttons of acts. What the reader's roles refuse is disabled, with the role that it needs and who can give it.
import { useId } from "react";
import { Link } from "react-router";
import { useQuery } from "@tanstack/react-query";
import { read, type Problem, type Schema } from "../api/client";

export type Refused = readonly Schema["RefusedActRow"][];
export type ActButton = {
  label: string;
  /** Its command, as in `headrace access matrix`. */
  command: string;
  /** Of an act that takes another's place and its focus; without it, the label. */
  key?: string;
  main?: boolean;
  disabled?: boolean;
} & ({ begin: () => void } | { to: string });

const SESSION = "/api/v1/session";
const NOTHING: Refused = [];

/** The acts in the project that the reader's roles refuse. The header has asked for them already. */
export function useRefusedActs(): Refused {
  const { data } = useQuery<Schema["OwnSessionResponse"], Problem>({
    queryKey: [SESSION, {}],
    queryFn: ({ signal }) => read(SESSION, {}, signal),
    staleTime: Infinity, // another page or button isn't a reason to ask again; a change is
  });
  return data?.refused_acts ?? NOTHING;
}

/** Why the roles refuse a command; undefined if they don't. */
export const refusalOf = (refused: Refused, command: string): string | undefined =>
  refused.find(({ act }) => act === command)?.reason;

export function ActButtons({ acts, refused }: { acts: readonly ActButton[]; refused: Refused }) {
  const id = useId();
  const reasons = new Map<string, string[]>();
  for (const { label, command } of acts) {
    const reason = refusalOf(refused, command);
    if (reason) reasons.set(reason, [...(reasons.get(reason) ?? []), label.replace("…", "")]);
  }
  const idOf = (reason: string) => `${id}${[...reasons.keys()].indexOf(reason)}`;
  return (
    <>
      {acts.map((act) => {
        const reason = refusalOf(refused, act.command);
        const className = `button${act.main ? " main" : ""}`;
        if ("to" in act && !reason)
          return (
            <Link key={act.key ?? act.label} className={className} to={act.to}>
              {act.label}
            </Link>
          );
        return (
          <button
            key={act.key ?? act.label}
            type="button"
            className={className}
            disabled={reason !== undefined || act.disabled}
            title={reason}
            aria-describedby={reason && idOf(reason)}
            onClick={"begin" in act ? act.begin : undefined}
          >
            {act.label}
          </button>
        );
      })}
      {[...reasons].map(([reason, labels]) => (
        <span key={reason} id={idOf(reason)} className="muted small refused">
          {labels.join(", ")}: {reason}.
        </span>
      ))}
    </>
  );
}
