// Where the waits of consumers went, what became slower, and why: what `headrace bottleneck` says.
import { Link } from "react-router";
import { useResponse } from "../../api/responses";
import { BreakableName } from "../../parts/BreakableName";
import { Command } from "../../parts/Command";
import { Dismissed, dismissedOf } from "../../parts/Dismissed";
import { useFilters } from "../../parts/filters";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Series } from "../../parts/Series";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { addressOf } from "../../parts/addresses";
import { formatDuration, longestOf, roundIn } from "../../parts/durations";
import { many, windowOf, WINDOWS } from "../../parts/words";
import {
  causeAddress,
  eventsOf,
  groupName,
  largeShares,
  pointsOf,
  type Row,
  type Share,
} from "./delays";
import "../../parts/filters.css";
import "./bottleneck.css";

const WINDOW = "30d";
type Regression = Row["regressions"][number];

export function Bottleneck() {
  usePageTitle("Waits");
  const { values, set } = useFilters(["window", "consumer"]);
  const window = values.window ?? WINDOW;
  const response = useResponse("/api/v1/bottleneck", { query: { window } });
  const consumers = response.data?.map(({ consumer }) => consumer) ?? [];
  return (
    <div className="stack">
      <Heading
        title="Waits"
        subtitle="What consumers waited for, from the delay ledgers of their deliveries, and which assets became slower."
      >
        {consumers.length > 1 && (
          <Select
            name="Consumer"
            value={values.consumer ?? ""}
            choices={[["", "all"], ...consumers.map((name) => [name, name] as const)]}
            choose={(name) => set("consumer", name)}
            inline
          />
        )}
        <Select
          name="Of"
          value={window}
          choices={Object.entries(WINDOWS)}
          choose={(value) => set("window", value)}
          inline
        />
      </Heading>
      <Loaded document={response}>
        {(rows) => <Consumers rows={rows} chosen={values.consumer} />}
      </Loaded>
    </div>
  );
}

function Consumers({ rows, chosen }: { rows: readonly Row[]; chosen: string | undefined }) {
  if (!rows.length)
    return (
      <Empty>
        <strong>No consumer is declared.</strong> Once one is, in <code>consumers.yaml</code>, this
        says what it waits for.
      </Empty>
    );
  const visible = chosen ? rows.filter(({ consumer }) => consumer === chosen) : rows;
  if (!visible.length)
    return (
      <Empty>
        <strong>There is no consumer {chosen}.</strong> <Link to="/consumers">Consumers</Link> lists
        all.
      </Empty>
    );
  return visible.map((row) => <Consumer key={row.consumer} row={row} />);
}

function Consumer({ row }: { row: Row }) {
  const { shares, smaller } = largeShares(row.shares);
  const points = pointsOf(row);
  const most = Math.max(0, ...points.map(({ value }) => value ?? 0));
  return (
    <Panel
      title={row.consumer}
      aside={
        <>
          last {windowOf(row.window)}
          {row.limited && `, only the newest ${many(row.obligations, "obligation")}`} ·{" "}
          <Link
            to={addressOf("consumer", row.consumer)}
            aria-label={`Deliveries of ${row.consumer}`}
          >
            deliveries
          </Link>
        </>
      }
    >
      <p className={row.obligations ? "body" : "body muted"}>{row.said}</p>
      {row.proposals.map((proposal) => (
        <div key={proposal.node} className="body">
          <p>{proposal.text}.</p>
          {proposal.command && <Command text={proposal.command} />}
        </div>
      ))}
      <Dismissed rows={dismissedOf(row.dismissed, ({ text }) => `${text}.`)} />
      {shares.length > 0 && (
        <div className="shares">
          <Table
            label={`What ${row.consumer} waited for`}
            columns={columnsOf(shares)}
            rows={shares}
            keyOf={(share) =>
              `${share.kind} ${share.group} ${share.node} ${share.owner} ${share.decider ?? ""}`
            }
          />
        </div>
      )}
      {smaller > 0 && shares.length > 0 && (
        <p className="body muted small">
          {smaller} more took less than 0.01 % each: <code>headrace bottleneck --json</code> has
          them.
        </p>
      )}
      {points.length > 1 && (
        <section className="body">
          <h3>Average wait by week</h3>
          <Series
            label={`Average wait of ${row.consumer} by week`}
            quantity="Average wait"
            across="Week"
            points={points}
            format={formatDuration}
            events={eventsOf(row)}
            unitOf={() => roundIn(most)}
          />
        </section>
      )}
      {row.regressions.length > 0 && (
        <section>
          <h3 className="above">Slower than before</h3>
          <Table
            label={`What became slower upstream of ${row.consumer}`}
            columns={REGRESSIONS}
            rows={row.regressions}
            keyOf={({ node, at }) => `${node} ${at}`}
          />
        </section>
      )}
    </Panel>
  );
}

const columnsOf = (shares: readonly Share[]): readonly Column<Share>[] => [
  {
    name: "Share",
    className: "number",
    cell: (share) => `${share.percent} %`,
  },
  {
    name: "Of the wait",
    className: "bars",
    cell: (share) => (
      <div className="share-track">
        <span
          className={`share-bar share-${share.group}`}
          style={{ width: `max(${share.percent}%, 3px)` }}
        />
      </div>
    ),
  },
  {
    name: "Took",
    className: "number",
    cell: ({ seconds }) => formatDuration(seconds, longestOf(shares.map((each) => each.seconds))),
  },
  {
    name: "Spent on",
    cell: (share) => (
      <div>
        {groupName(share.group)}
        <div className="muted small">{share.kind}</div>
      </div>
    ),
  },
  {
    name: "At",
    className: "why",
    cell: (share) => (
      <div>
        {share.node && (
          <Link to={addressOf("asset", share.node)}>
            <BreakableName of={share.node} />
          </Link>
        )}
        <div className="muted small">{share.owner}</div>
        {share.decider && <div className="muted small">{share.decider} could have ended it</div>}
      </div>
    ),
  },
];

const REGRESSIONS: readonly Column<Regression>[] = [
  { name: "Since", cell: ({ at }) => <Time at={at} /> },
  {
    name: "Asset",
    className: "why",
    cell: ({ node }) => (
      <Link to={`${addressOf("asset", node)}?part=history`}>
        <BreakableName of={node} />
      </Link>
    ),
  },
  { name: "Before", className: "number", cell: ({ before_s }) => formatDuration(before_s) },
  { name: "Now", className: "number", cell: ({ after_s }) => formatDuration(after_s) },
  { name: "Because", className: "why", cell: ({ cause }) => <Cause cause={cause} /> },
];

function Cause({ cause }: { cause: Regression["cause"] }) {
  const address = causeAddress(cause);
  return (
    <div>
      {address && (
        <>
          <Link to={address}>{cause.ref}</Link>:{" "}
        </>
      )}
      {cause.text}
      {cause.owner && <div className="muted small">{cause.owner}</div>}
    </div>
  );
}
