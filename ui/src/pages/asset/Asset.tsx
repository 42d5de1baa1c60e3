// One source or asset: how it stands and why, and its parts, each fetched when it is opened.
import { Link, useParams, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Command } from "../../parts/Command";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Since, Time } from "../../parts/Time";
import { many } from "../../parts/words";
import { Acts, RETRYABLE, type ActName } from "./acts";
import { UsedBy } from "../use/Use";
import { Checks } from "./Checks";
import { Code } from "./Code";
import { Columns } from "./Columns";
import { Deliveries } from "./Deliveries";
import { History } from "./History";
import { Lineage } from "./Lineage";
import { OtherIncidents } from "./OtherIncidents";
import { Partitions } from "./Partitions";
import { Data } from "./Data";
import { Runs } from "./Runs";
import { SnapshotDifference } from "./SnapshotDifference";
import "./asset.css";

type Node = Schema["NodeResponse"];
type Part = {
  part: string;
  name: string;
  of?: "source";
  show: (document: Node) => React.ReactNode;
};

const PARTITIONS: Part = {
  part: "partitions",
  name: "Partitions",
  show: ({ node, partitions, refused_acts }) => (
    <Partitions
      name={node.name}
      source={node.kind === "source"}
      counted={partitions}
      refused={refused_acts}
    />
  ),
};
/** What is made by these has no rows in the lake. */
const WITHOUT_ROWS = ["view", "files", "none"];
const PARTS: readonly Part[] = [
  PARTITIONS,
  {
    part: "deliveries",
    name: "Deliveries",
    of: "source",
    show: ({ node, learnt }) => <Deliveries name={node.name} learnt={learnt ?? null} />,
  },
  {
    part: "history",
    name: "History",
    show: ({ node, refused_acts }) =>
      node.materialize === "view" ? (
        <Panel title="History">
          <Empty>A view stores no partitions. Its inputs have a history.</Empty>
        </Panel>
      ) : (
        <History name={node.name} refused={refused_acts} />
      ),
  },
  {
    part: "around",
    name: "Reads and readers",
    show: (document) => <ReadsAndReaders document={document} />,
  },
  {
    part: "columns",
    name: "Columns",
    show: ({ node, columns }) => <Columns name={node.name} columns={columns} />,
  },
  { part: "checks", name: "Checks", show: ({ node }) => <Checks name={node.name} /> },
  {
    part: "lineage",
    name: "Lineage",
    show: ({ node, columns }) => <Lineage name={node.name} columns={columns} />,
  },
  { part: "runs", name: "Runs", show: ({ node }) => <Runs name={node.name} /> },
  { part: "use", name: "Readers", show: ({ node }) => <UsedBy name={node.name} /> },
  {
    part: "code",
    name: "Code",
    show: ({ node }) => <Code name={node.name} asset={node.kind !== "source"} />,
  },
  { part: "preview", name: "Data", show: ({ node }) => <Data name={node.name} /> },
  {
    part: "difference",
    name: "Difference",
    show: ({ node }) =>
      WITHOUT_ROWS.includes(node.materialize ?? "") ? (
        <Panel title="Difference">
          <Empty>It stores no rows to compare. Its inputs do.</Empty>
        </Panel>
      ) : (
        <SnapshotDifference name={node.name} />
      ),
  },
];

export function Asset() {
  const { name = "" } = useParams();
  usePageTitle(name);
  return (
    <Loaded document={useResponse("/api/v1/assets/{name}", { path: { name } })} heading={name}>
      {(document) => <AssetOf key={name} document={document} />}
    </Loaded>
  );
}

function AssetOf({ document }: { document: Node }) {
  const [params] = useSearchParams();
  const requested =
    params.get("part") ??
    (params.has("column") ? "lineage" : params.has("check") ? "checks" : "partitions");
  const { node } = document;
  const parts = PARTS.filter(({ of }) => of === undefined || of === node.kind);
  const selected = parts.find(({ part }) => part === requested) ?? PARTITIONS;
  return (
    <div className="stack">
      <About document={document} />
      <OtherIncidents name={node.name} shown={node.incident} />
      {node.state !== "fresh" && <Why name={node.name} incident={node.incident} />}
      <nav className="parts" aria-label="Page sections">
        {parts.map(({ part, name }) => (
          <Link
            key={part}
            to={`?part=${part}`}
            replace
            preventScrollReset
            aria-current={part === selected.part ? "page" : undefined}
          >
            {name}
          </Link>
        ))}
      </nav>
      {selected.show(document)}
    </div>
  );
}

function About({ document }: { document: Node }) {
  const { node } = document;
  const grain = node.partition === "*" ? "as a whole" : node.partition && `by ${node.partition}`;
  return (
    <>
      <Heading
        title={
          <span className="row">
            {node.name} <State of={node.paused ? "paused" : node.state} />
            {node.quarantined && <State of="quarantined" />}
          </span>
        }
        subtitle={
          <>
            {node.description && (
              <>
                {node.description}
                <br />
              </>
            )}
            {[node.kind, node.body, grain, node.materialize].filter(Boolean).join(" · ")}; owner{" "}
            <Link to={addressOf("owner", node.owner)}>{node.owner}</Link>
            {node.domain && (
              <>
                ; domain <Link to={addressOf("domain", node.domain)}>{node.domain}</Link>
              </>
            )}
            {node.tags.map((tag) => (
              <span key={tag}>
                {" "}
                · <Link to={addressOf("tag", tag)}>{tag}</Link>
              </span>
            ))}
          </>
        }
      >
        {node.incident && (
          <Link className="button main" to={`/incidents/${encodeURIComponent(node.incident)}`}>
            Open {node.incident}
          </Link>
        )}
        <Link
          className="button"
          to={`/graph?${new URLSearchParams({ mode: "focus", root: node.name })}`}
        >
          Graph
        </Link>
        <Acts
          names={actsOf(document)}
          node={node.name}
          refused={document.refused_acts}
          backfill={
            node.kind === "source"
              ? undefined
              : {
                  label: "Backfill…",
                  to: `/backfills/new?${new URLSearchParams({ select: node.name })}`,
                }
          }
        />
      </Heading>
      <p>
        {node.published_at ? (
          <>
            Published <Time at={node.published_at} />
            <Since at={node.published_at} suffix="ago" before=", " />
            {node.data_through && (
              <>
                ; data through <strong>{node.data_through}</strong>
              </>
            )}
            .
          </>
        ) : (
          "Nothing is published yet."
        )}{" "}
        {document.consumers.length ? (
          <>
            For{" "}
            {document.consumers.map((name, index) => (
              <span key={name}>
                {index > 0 && ", "}
                <Link to={addressOf("consumer", name)}>{name}</Link>
              </span>
            ))}
            .
          </>
        ) : (
          "No consumer needs it."
        )}
      </p>
      <Retention document={document} />
    </>
  );
}

function Retention({ document: { retention, hold } }: { document: Node }) {
  if (!retention && !hold) return null;
  const going = retention?.partitions ? many(retention.partitions, "partition") : null;
  return (
    <p>
      {retention && (
        <>
          Rows are kept for <strong>{retention.retain}</strong>, now from {retention.kept_from} on
          {going && !hold && `; the next cleanup removes ${going}`}
          {going && hold && `; ${going} would be removed`}
          {!going &&
            retention.next &&
            `; ${retention.next} goes next, on ${retention.next_on ?? "a later day"}`}
          .{" "}
        </>
      )}
      {hold && (
        <>
          Under a legal hold of {hold.by}: {hold.reason}. Nothing is removed until it is released.
        </>
      )}
    </p>
  );
}

function actsOf({ node, partitions }: Node): readonly ActName[] {
  const failed = partitions.some((partition) => RETRYABLE.includes(partition.value));
  return node.materialize === "view"
    ? []
    : ["run", ...(failed ? ["retry" as const] : []), node.paused ? "resume" : "pause"];
}

function Why({ name, incident }: { name: string; incident: string | null }) {
  return (
    <Loaded document={useResponse("/api/v1/why/{subject}", { path: { subject: name } })}>
      {(why) => (
        <div className="notice tone-warn">
          <div>
            <p>
              <strong>Why:</strong> {why.verdict}
            </p>
            {why.next && !incident && <Command text={why.next} />}
          </div>
        </div>
      )}
    </Loaded>
  );
}

const EDGES: readonly Column<Schema["EdgeRow"]>[] = [
  {
    name: "Name",
    cell: (edge) => (
      <Link
        to={
          edge.kind === "consumer"
            ? addressOf("consumer", edge.node)
            : addressOf("asset", edge.node)
        }
      >
        {edge.node}
      </Link>
    ),
  },
  { name: "Kind", cell: (edge) => edge.kind },
  { name: "How", cell: (edge) => edge.mode },
  { name: "State", cell: (edge) => edge.state && <State of={edge.state} /> },
];
const keyOf = (edge: Schema["EdgeRow"]) => `${edge.node} ${edge.mode}`;

function ReadsAndReaders({ document: { node, reads, read_by: readers } }: { document: Node }) {
  return (
    <>
      <Panel title="Upstream nodes" aside={`${reads.length}`}>
        {reads.length ? (
          <Table label="Upstream nodes" columns={EDGES} rows={reads} keyOf={keyOf} />
        ) : (
          <Empty>{node.kind === "source" ? "It comes from outside." : "It reads nothing."}</Empty>
        )}
      </Panel>
      <Panel title="Readers" aside={`${readers.length}`}>
        {readers.length ? (
          <Table label="Readers" columns={EDGES} rows={readers} keyOf={keyOf} />
        ) : (
          <Empty>
            Nobody does that Headrace knows of: no asset reads it, and no consumer in{" "}
            <code>consumers.yaml</code>.
          </Empty>
        )}
      </Panel>
    </>
  );
}
