// The order of search results: how-to pages first, decisions last. The numbers are Sphinx's own.
var Scorer = {
  score: (result) => {
    const [page, , , , score] = result;
    if (page.startsWith("docs/how-to/") || page === "docs/tutorial") return score + 10;
    if (page.startsWith("docs/decisions/")) return score - 20;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
