// What changed in the text of the plan's files.
import { usePlan } from "../../api/acts";
import type { Schema } from "../../api/client";
import { Difference } from "../../parts/Difference";
import { Panel, Refusal } from "../../parts/Page";
import { many } from "../../parts/words";

/** The files open until there are this many: then each opens by itself. */
const OPEN_MAX = 3;

/** As the files were when the plan was made; they are read again with the next plan. */
export function PlannedCode() {
  const code = usePlan("/api/v1/plan/code", {});
  if (code.error) return <Refusal problem={code.error} />;
  return code.data ? <CodeDifferences document={code.data.document} /> : null;
}

export function CodeDifferences({ document }: { document: Schema["PlanCodeResponse"] }) {
  const { files, more, against } = document;
  if (!files.length) return null;
  return (
    <Panel title="Code" aside={against ? `compared with ${against}` : "nothing is applied yet"}>
      <div className="body stack">
        {files.map((file) => (
          <details key={file.path} open={files.length <= OPEN_MAX}>
            <summary>
              <code>{file.path}</code> {file.change}
            </summary>
            <Difference of={file.path} diff={file.diff} truncated={file.truncated} />
          </details>
        ))}
        {more > 0 && <p className="muted">and {many(more, "more file")}</p>}
      </div>
    </Panel>
  );
}
