// What the project could do without: counts, each a list, with the command that removes it.
import { Link } from "react-router";
import { useResponse } from "../../api/responses";
import { BreakableName } from "../../parts/BreakableName";
import { Command } from "../../parts/Command";
import { Dismissed, dismissedOf } from "../../parts/Dismissed";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Series } from "../../parts/Series";
import { Table, type Column } from "../../parts/Table";
import { addressOf } from "../../parts/addresses";
import { formatDuration } from "../../parts/durations";
import { formatBytes } from "../../parts/figureNames";
import { capitalised, many } from "../../parts/words";
import {
  eventsOf,
  kindsOf,
  pageOf,
  pointsOf,
  type Document,
  type Kind,
  type Row,
} from "./findings";
import "./complexity.css";

export function Complexity() {
  usePageTitle("Unneeded");
  return (
    <div className="stack">
      <Heading
        title="Unneeded"
        subtitle="What the project could do without, from its declarations, column lineage and the reads that were seen."
      />
      <Loaded document={useResponse("/api/v1/complexity", {})}>
        {(document) => <Findings document={document} />}
      </Loaded>
    </div>
  );
}

function Findings({ document }: { document: Document }) {
  const kinds = kindsOf(document.findings);
  return (
    <>
      {kinds.length ? (
        <Counts kinds={kinds} document={document} />
      ) : document.dismissed.length ? (
        <Panel title="Findings">
          <Empty>
            <strong>All findings are dismissed.</strong> Each is listed again when somebody reopens
            it; one about a node also when its code, trigger, checks or costs change.
          </Empty>
        </Panel>
      ) : (
        <Panel title="Findings">
          <Empty>
            <strong>Nothing was found that the project could do without.</strong> Unread assets and
            columns, duplicates, dead checks and the like would be listed here.
          </Empty>
        </Panel>
      )}
      {kinds.map((kind) => (
        <OfKind key={kind.kind} kind={kind} />
      ))}
      {document.dismissed.length > 0 && (
        <Panel title="Dismissed findings">
          <Dismissed
            rows={dismissedOf(document.dismissed, ({ node, evidence }) => (
              <>
                <BreakableName of={node} />: {evidence}
              </>
            ))}
          />
        </Panel>
      )}
      <Trend document={document} />
      <Hops document={document} />
    </>
  );
}

function Counts({ kinds, document }: { kinds: readonly Kind[]; document: Document }) {
  return (
    <Panel title="Findings" aside={document.limited ? "only the first 1,000" : undefined}>
      <ul className="body complexity-counts">
        {kinds.map(({ kind, title, rows }) => (
          <li key={kind}>
            <a href={`#${kind}`}>
              {title} <strong>{(document.counts[kind] ?? rows.length).toLocaleString("en")}</strong>
            </a>
          </li>
        ))}
      </ul>
      <p className="body muted">{capitalised(document.note)}.</p>
    </Panel>
  );
}

function OfKind({ kind }: { kind: Kind }) {
  const saves = kind.rows.some(({ saves_month }) => saves_month.seconds !== null);
  return (
    <div id={kind.kind}>
      <Panel title={kind.title} aside={kind.meaning}>
        <Table
          label={kind.title}
          columns={saves ? [FINDING, WHY, SAVES, COMMAND] : [FINDING, WHY, COMMAND]}
          rows={kind.rows}
          keyOf={({ id }) => id}
        />
      </Panel>
    </div>
  );
}

const FINDING: Column<Row> = {
  name: "Finding",
  className: "why",
  cell: (row) => {
    const page = pageOf(row);
    const name = <BreakableName of={row.node} />;
    return page ? <Link to={page}>{name}</Link> : name;
  },
};
const WHY: Column<Row> = { name: "Why", className: "why", cell: ({ evidence }) => evidence };
const SAVES: Column<Row> = {
  name: "Saves a month",
  className: "number",
  cell: ({ saves_month: { seconds, bytes } }) =>
    seconds !== null && (
      <div>
        {formatDuration(seconds)}
        {bytes !== null && <div className="muted small">{formatBytes(bytes)} stored</div>}
      </div>
    ),
};
const COMMAND: Column<Row> = {
  name: "Command",
  className: "why",
  cell: ({ command }) => command && <Command text={command} />,
};

function Trend({ document }: { document: Document }) {
  const points = pointsOf(document);
  if (points.length < 2) return null;
  const events = eventsOf(document);
  return (
    <Panel title="Trend" aside={`by declarations alone, newest ${many(points.length, "version")}`}>
      <div className="body">
        <Series
          label="Findings by version"
          quantity="Findings"
          across="Version"
          points={points}
          format={(value) => value.toLocaleString("en", { maximumFractionDigits: 1 })}
          events={events}
        />
        {events.length > 0 && (
          <ul className="small">
            {events.map(({ name, text }) => (
              <li key={name}>
                version {name}: {text}
              </li>
            ))}
          </ul>
        )}
      </div>
    </Panel>
  );
}

const HOPS: readonly Column<readonly [string, Document["hops"][string]]>[] = [
  {
    name: "Consumer",
    className: "why",
    cell: ([consumer]) => (
      <Link to={addressOf("consumer", consumer)}>
        <BreakableName of={consumer} />
      </Link>
    ),
  },
  { name: "Assets on its way", className: "number", cell: ([, { actual }]) => actual },
  { name: "Least possible", className: "number", cell: ([, { least }]) => least },
];

function Hops({ document }: { document: Document }) {
  const rows = Object.entries(document.hops).toSorted(
    ([, a], [, b]) => b.actual - b.least - (a.actual - a.least),
  );
  if (!rows.length) return null;
  return (
    <Panel title="Hops" aside="assets on the longest way from a source to a consumer">
      <Table label="Hops" columns={HOPS} rows={rows} keyOf={([consumer]) => consumer} />
    </Panel>
  );
}
