// Each honest figure beside the one that other tools show, with what the second hides.
import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { lasting } from "../../parts/Time";
import "./figures.css";

export function Figures({ document }: { document: Schema["StatusDocument"] }) {
  const kept = document.consumers.reduce((sum, one) => sum + (one.availability?.kept ?? 0), 0);
  const promised = document.consumers.reduce((sum, one) => sum + (one.availability?.promised ?? 0), 0);
  const percent = (figure: string | null) => (figure === null ? "no data" : `${figure} %`);
  const over = `of ${document.window.replace("d", " days")}`;
  return (
    <div className="figures">
      <Figure to="availability" window={document.window} name={`Served, ${over}`} honest={percent(document.honest_availability)}
        beside={{ name: "Classic uptime", value: percent(document.classic_uptime) }}>
        {document.worst ? <>the worst consumer, {document.worst}; mean {percent(document.honest_mean)}. </> : null}
        Held work never starts, so it never fails: {document.runs_started} runs started.
      </Figure>
      <Figure to="promises" window={document.window} name={`Deliveries kept, ${over}`} honest={`${kept} of ${promised}`}
        beside={{ name: "Missed", value: `${promised - kept}` }}>
        judged by the promise in force when each was due{document.promises_weakened ? `; ${document.promises_weakened} promises were weakened` : ""}
      </Figure>
      <Figure to="availability" window={document.window} name="Time lost by consumers" honest={document.minutes_lost === null ? "no data" : lasting(document.minutes_lost * 60)}
        beside={{ name: "Claimed at the time", value: percent(document.claimed_availability) }}>
        what was said then, beside what is known now of the same time
      </Figure>
    </div>
  );
}

type Beside = { name: string; value: string };
type Props = { to: string; window: string; name: string; honest: string; beside: Beside; children: ReactNode };

function Figure({ to, window, name, honest, beside, children }: Props) {
  return (
    <section className="panel figure" aria-label={name}>
      <dl>
        <div><dt>{name}</dt><dd className="honest"><Link to={`/figures/${to}?window=${window}`}>{honest}</Link></dd></div>
        <div><dt>{beside.name}</dt><dd>{beside.value}</dd></div>
      </dl>
      <p className="muted small">{children}</p>
    </section>
  );
}
