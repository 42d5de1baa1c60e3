import { expect, it } from "vitest";
import { renderedSql } from "./renderedSql";

const VALUES = { partition_start: "2025-02-10", who: "O'Hara", few: [1, 2], none: null, n: 3 };

// Would catch: a value that breaks out of its quotes, or a parameter of another letter case.
it("puts literals in place of parameters", () => {
  const text = "where d >= $PARTITION_START and w = $who and x in $few and y is $none or $n > 1";
  expect(renderedSql(text, VALUES)).toBe(
    "where d >= '2025-02-10' and w = 'O''Hara' and x in [1, 2] and y is NULL or 3 > 1",
  );
});

// Would catch: texts and comments that are changed, or a value read as a pattern of the replacement.
it("leaves texts, comments, quoted names and unknown parameters as they are", () => {
  const text = `select '$n', 'it''s $n', "$n", $$ $n $$, $a$ $n $a$ -- $n\n/* $n */, $unknown`;
  expect(renderedSql(text, VALUES)).toBe(text);
  expect(renderedSql("$x", { x: "$&$1" })).toBe("'$&$1'");
});
