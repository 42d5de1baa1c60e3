// What somebody saves, as it is saved: its problems, what it changes, and what an environment has computed of it.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import { CodeDifferences } from "../plan/CodeDifferences";
import { Reached } from "../plan/Facts";
import { Problems } from "../plan/Problems";
import { Changes } from "../plan/tables";
import { ChangedGraph } from "./ChangedGraph";
import { Result } from "./Result";
import { useSavedFiles, type Follow } from "./useSavedFiles";

type Planned = Schema["PlanResponse"];

const RESULTS_MAX = 5;
const PRODUCTION = "prod";
/** Kinds of changes after which an environment computes a node. */
const COMPUTED: readonly string[] = ["added", "body", "schema", "checks"];

export function Dev() {
  usePageTitle("Edited files");
  const follow = useSavedFiles();
  const validated = useResponse("/api/v1/validate", {}, follow.ready);
  const valid = validated.data?.ok === true;
  const plan = useResponse("/api/v1/plan", {}, valid);
  return (
    <div className="stack">
      <Heading
        title={titleOf(validated.data, valid ? plan.data : undefined)}
        subtitle={<Label follow={follow} plan={plan.data} />}
      >
        <Link className="button" to="/plan">
          Plan
        </Link>
      </Heading>
      <Loaded document={validated}>
        {(document) => document.problems.length > 0 && <Problems document={document} />}
      </Loaded>
      {valid && <Loaded document={plan}>{(document) => <Changed plan={document} />}</Loaded>}
    </div>
  );
}

function titleOf(validated: Schema["ValidateResponse"] | undefined, plan: Planned | undefined) {
  if (!validated) return "Edited files";
  const errors = validated.problems.filter((problem) => problem.severity === "error").length;
  if (!validated.ok) return errors ? many(errors, "error") : "Errors in other files";
  if (!plan) return "Edited files";
  return changedText(plan);
}

/** Changes of headrace.toml, owners.yaml and the like have the file in place of a node, whose name has no dot. */
function changedText({ changes, left_out }: Planned): string {
  const names = [...new Set(changes.map((change) => change.node))];
  const files = names.filter((name) => name.includes(".")).length;
  const nodes = names.length - files;
  if (!nodes) {
    if (files) return many(files, "changed file");
    return left_out === "changes" ? "No changes that you may see" : "No changes";
  }
  return many(nodes, "changed node") + (files ? `, ${many(files, "other file")}` : "");
}

function Label({ follow, plan }: { follow: Follow; plan: Planned | undefined }) {
  return (
    <span role="status">
      {plan && `${plan.env}, compared with ${plan.against ?? "nothing"} · `}
      {follow.savedAt !== null && (
        <>
          saved <Time at={new Date(follow.savedAt).toISOString()} />
          {" · "}
        </>
      )}
      {follow.connected ? "follows the files" : "connecting…"}
    </span>
  );
}

function Changed({ plan }: { plan: Planned }) {
  const code = useResponse("/api/v1/plan/code", {}).data;
  const isProduction = plan.env === PRODUCTION;
  if (!plan.changes.length)
    return (
      <Panel title="Changes">
        <Empty>
          {plan.left_out === "changes" ? (
            "The saved files have changes that your roles don’t reach."
          ) : (
            <>
              <strong>The saved files change nothing.</strong> Save a file: its problems, its
              changes and the differences of its text are shown here.
            </>
          )}
        </Empty>
      </Panel>
    );
  const nodes = plan.changes
    .filter(
      ({ node, change }) => COMPUTED.includes(change) && !plan.affects.consumers.includes(node),
    )
    .map((change) => change.node);
  return (
    <>
      {isProduction ? (
        <div className="notice">
          <p>
            This server doesn’t compute what you save. <code>headrace dev</code> does, in an
            environment.
          </p>
        </div>
      ) : (
        plan.steps.length > 0 && (
          <div className="notice">
            <p>
              The saved files aren’t applied in {plan.env}: <code>headrace dev</code> applies each
              valid save, <Link to="/plan">Plan</Link> applies them now.
            </p>
          </div>
        )
      )}
      <Panel title="Changes" aside={many(plan.changes.length, "change")}>
        <Changes rows={plan.changes} />
        <dl className="facts body">
          <Reached affects={plan.affects} />
        </dl>
      </Panel>
      <ChangedGraph />
      {code && <CodeDifferences document={code} />}
      {!isProduction &&
        [...new Set(nodes)]
          .slice(0, RESULTS_MAX)
          .map((node) => (
            <Result
              key={node}
              name={node}
              version={plan.base_version}
              difference={plan.diff?.find((row) => row.node === node)}
            />
          ))}
    </>
  );
}
