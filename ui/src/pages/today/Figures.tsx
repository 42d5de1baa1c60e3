// Each honest figure beside the one that other tools show, with what the second hides.
import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { many, windowOf } from "../../parts/words";
import "./figures.css";

export function Figures({ document }: { document: Schema["StatusResponse"] }) {
  const percent = (figure: string | null, otherwise: string) =>
    figure === null ? otherwise : `${figure} %`;
  const minutes = (count: number | null) =>
    count === null ? "no data" : `${count.toLocaleString("en")} min`;
  const days = `the last ${windowOf(document.window)}`;
  return (
    <div className="figures">
      <Figure
        to="availability"
        window={document.window}
        name="Honest availability"
        honest={percent(document.honest_availability, "no data")}
        beside={{ name: "Classic uptime", value: percent(document.classic_uptime, "no data") }}
      >
        {document.availability_text}
        {document.worst && <>; the worst is {document.worst}</>}. {document.uptime_text};{" "}
        {many(document.runs_started, "run")} in {days}.
      </Figure>
      <Figure
        to="promises"
        window={document.window}
        name="Deliveries kept"
        honest={document.obligations_kept.toLocaleString("en")}
        beside={{ name: "Deliveries due", value: document.obligations_due.toLocaleString("en") }}
      >
        in {days}, evaluated by the promise in force when each was due
        {document.promises_weakened
          ? `; ${many(document.promises_weakened, "promise")} ${document.promises_weakened === 1 ? "was" : "were"} weakened`
          : ""}
      </Figure>
      <Figure
        to="availability"
        window={document.window}
        name="Time lost"
        honest={minutes(document.minutes_lost)}
        beside={{ name: "Time promised", value: minutes(document.minutes_counted) }}
      >
        all consumers together; of each {days}, or the time since its first deadline
        {!!document.minutes_unobserved && (
          <>; {minutes(document.minutes_unobserved)} of it unobserved</>
        )}
        {document.corrections.length > 0 && <>. {document.corrections.join("; ")}</>}
      </Figure>
    </div>
  );
}

type Beside = { name: string; value: string };
type Props = {
  to: string;
  window: string;
  name: string;
  honest: string;
  beside: Beside;
  children: ReactNode;
};

function Figure({ to, window, name, honest, beside, children }: Props) {
  return (
    <section className="panel figure" aria-label={name}>
      <dl>
        <div>
          <dt>{name}</dt>
          <dd className="honest">
            <Link to={`/figures/${to}?window=${window}`}>{honest}</Link>
          </dd>
        </div>
        <div>
          <dt>{beside.name}</dt>
          <dd>{beside.value}</dd>
        </div>
      </dl>
      <p className="muted small">{children}</p>
    </section>
  );
}
