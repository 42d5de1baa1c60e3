// The delay ledger as a waterfall: each segment begins where the one before ended, and they add up to the wait.
import { Link } from "react-router";
import type { Schema } from "../api/client";
import { formatDuration } from "./durations";
import { groupOf } from "./ledgerGroups";
import { Time } from "./Time";
import { WHOLE } from "./partitions";
import "./ledger.css";

type Segment = Schema["SegmentRow"];
export type LedgerData = Pick<
  Schema["LedgerRow"],
  "from" | "to" | "wait_seconds" | "segments" | "said" | "shares" | "open" | "read"
>;

const LABELS = {
  people: "a person decides",
  work: "computing",
  ours: "Headrace itself",
  source: "the source or a trigger",
} as const;

/** What is said of the time that counts apart from an owner's other time, by its kind. */
const SHARE_LABELS: Record<string, string> = {
  hold: "could have decided",
  approval: "could have approved",
  paused: "could have resumed",
  queue: "queued",
  schedule: "waited for a trigger",
};

export function Ledger({ ledger }: { ledger: LedgerData }) {
  const began = Date.parse(ledger.from);
  const whole = ledger.wait_seconds || 1;
  return (
    <div className="ledger">
      <p className="body">{ledger.said}</p>
      <div className="scroll" tabIndex={0} role="group" aria-label="Delay ledger">
        <table className="cards">
          <thead>
            <tr>
              <th scope="col">Segment</th>
              <th scope="col">At</th>
              <th scope="col" className="bars">
                {formatDuration(ledger.wait_seconds)}
                {ledger.open ? " so far" : ""}
              </th>
              <th scope="col" className="number">
                Lasted
              </th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            {ledger.segments.map((segment) => (
              <tr key={`${segment.from}${segment.kind}${segment.node}`}>
                <td data-label="Segment">
                  <div>
                    <span className={`swatch ${groupOf(segment)}`} />
                    {segment.kind}
                    <div className="muted small">{segment.note}</div>
                    {segment.decider && (
                      <div className="muted small">{segment.decider} could have ended it</div>
                    )}
                    {segment.lacking && (
                      <div className="muted small">{segment.lacking} kept it waiting as well</div>
                    )}
                  </div>
                </td>
                <td data-label="At">
                  <div>
                    {segment.incident ? (
                      <Link to={`/incidents/${encodeURIComponent(segment.incident)}`}>
                        {segment.incident}
                      </Link>
                    ) : (
                      segment.node
                    )}
                    {segment.partition && segment.partition !== WHOLE && (
                      <div className="muted small">{segment.partition}</div>
                    )}
                  </div>
                </td>
                <td className="bars">
                  <Bar segment={segment} began={began} whole={whole} />
                </td>
                <td data-label="Lasted" className="number">
                  {formatDuration(segment.seconds, ledger.wait_seconds)}
                </td>
                <td data-label="From">
                  <Time at={segment.from} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="body row small muted">
        {(Object.keys(LABELS) as (keyof typeof LABELS)[]).map((whose) => (
          <span key={whose}>
            <span className={`swatch ${whose}`} />
            {LABELS[whose]}
          </span>
        ))}
        {ledger.shares
          .filter((share) => share.seconds >= 1)
          .map((share) => (
            <span key={`${share.owner} ${share.kind ?? ""}`}>
              {share.owner || "nobody"}
              {share.kind && ` (${SHARE_LABELS[share.kind] ?? share.kind})`}:{" "}
              {formatDuration(share.seconds, ledger.wait_seconds)}
            </span>
          ))}
        {ledger.read && <span>{ledger.read}</span>}
      </p>
    </div>
  );
}

function Bar({ segment, began, whole }: { segment: Segment; began: number; whole: number }) {
  const left = ((Date.parse(segment.from) - began) / 1000 / whole) * 100;
  const width = (segment.seconds / whole) * 100;
  return (
    <div
      className={`bar ${groupOf(segment)}`}
      style={{ marginLeft: `min(${left}%, calc(100% - 3px))`, width: `max(${width}%, 3px)` }}
    />
  );
}
