// One plan that waits for other people: where the links of messages lead.
import { useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import { useResponse } from "../../api/responses";
import { refusalOf, useRefusedActs } from "../../parts/ActButtons";
import { Heading, Loaded, usePageTitle } from "../../parts/Page";
import { useAsked } from "../../parts/useAsked";
import { Asked, Plan, type Answer } from "./Approvals";

const ANSWERS = ["approve", "reject"] as const;

export function Approval() {
  const { plan = "" } = useParams();
  const [search] = useSearchParams();
  const link = search.get("link");
  usePageTitle(`Approval ${plan}`);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const refused = useRefusedActs();
  useAsked(
    ANSWERS.filter((name) => !refusalOf(refused, name)),
    setAnswer,
  );
  const response = useResponse("/api/v1/approvals/{plan}", {
    path: { plan },
    query: link ? { link } : {},
  });
  return (
    <Loaded document={response} heading={`Approval ${plan}`} name={plan}>
      {(row) => (
        <div className="stack">
          <Heading
            title={`Approval ${plan}`}
            subtitle={<Link to="/approvals">All approvals</Link>}
          />
          <Plan row={row} answer={setAnswer} />
          {answer && <Asked row={row} answer={answer} link={link} close={() => setAnswer(null)} />}
        </div>
      )}
    </Loaded>
  );
}
