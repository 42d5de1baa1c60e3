// Every address of the UI. Pages are fetched when they are first opened; Today comes with the shell.
import { createBrowserRouter, type RouteObject } from "react-router";
import { NotFound } from "../pages/NotFound";
import { Today } from "../pages/today/Today";
import { Broken } from "./Broken";
import { Shell } from "./Shell";

const pages: RouteObject[] = [
  { index: true, element: <Today /> },
  {
    path: "incidents",
    lazy: async () => ({ Component: (await import("../pages/incident/Incidents")).Incidents }),
  },
  {
    path: "incidents/:incident",
    lazy: async () => ({ Component: (await import("../pages/incident/Incident")).Incident }),
  },
  {
    path: "consumers",
    lazy: async () => ({ Component: (await import("../pages/consumer/Consumers")).Consumers }),
  },
  {
    path: "consumers/:consumer",
    lazy: async () => ({ Component: (await import("../pages/consumer/Consumer")).Consumer }),
  },
  {
    path: "figures/:figure",
    lazy: async () => ({ Component: (await import("../pages/figure/Figure")).Figure }),
  },
  {
    path: "assets",
    lazy: async () => ({ Component: (await import("../pages/asset/Assets")).Assets }),
  },
  {
    path: "sources/:name",
    lazy: async () => ({ Component: (await import("../pages/asset/Asset")).Asset }),
  },
  {
    path: "assets/:name",
    lazy: async () => ({ Component: (await import("../pages/asset/Asset")).Asset }),
  },
  {
    path: "calendar",
    lazy: async () => ({ Component: (await import("../pages/calendar/Calendar")).Calendar }),
  },
  { path: "runs", lazy: async () => ({ Component: (await import("../pages/run/Runs")).Runs }) },
  { path: "runs/:run", lazy: async () => ({ Component: (await import("../pages/run/Run")).Run }) },
  {
    path: "backfills",
    lazy: async () => ({ Component: (await import("../pages/backfill/Backfills")).Backfills }),
  },
  {
    path: "backfills/new",
    lazy: async () => ({ Component: (await import("../pages/backfill/New")).New }),
  },
  {
    path: "backfills/:plan",
    lazy: async () => ({ Component: (await import("../pages/backfill/Backfill")).Backfill }),
  },
  { path: "dev", lazy: async () => ({ Component: (await import("../pages/dev/Dev")).Dev }) },
  { path: "plan", lazy: async () => ({ Component: (await import("../pages/plan/Plan")).Plan }) },
  {
    path: "checks",
    lazy: async () => ({ Component: (await import("../pages/checks/Checks")).Checks }),
  },
  {
    path: "approvals",
    lazy: async () => ({
      Component: (await import("../pages/approvals/Approvals")).Approvals,
    }),
  },
  {
    path: "approvals/:plan",
    lazy: async () => ({
      Component: (await import("../pages/approvals/Approval")).Approval,
    }),
  },
  { path: "sql", lazy: async () => ({ Component: (await import("../pages/sql/Sql")).Sql }) },
  { path: "use", lazy: async () => ({ Component: (await import("../pages/use/Use")).Use }) },
  {
    path: "bottleneck",
    lazy: async () => ({
      Component: (await import("../pages/bottleneck/Bottleneck")).Bottleneck,
    }),
  },
  {
    path: "complexity",
    lazy: async () => ({
      Component: (await import("../pages/complexity/Complexity")).Complexity,
    }),
  },
  {
    path: "contracts/:node",
    lazy: async () => ({ Component: (await import("../pages/contract/Contract")).Contract }),
  },
  {
    path: "audit",
    lazy: async () => ({ Component: (await import("../pages/audit/Audit")).Audit }),
  },
  {
    path: "graph",
    lazy: async () => {
      const { Graph, prepareLayout } = await import("../pages/graph/Graph");
      prepareLayout(); // before the page is rendered: the worker takes longer to start
      return { Component: Graph };
    },
  },
  { path: "*", element: <NotFound /> },
];

export const router = createBrowserRouter([
  {
    path: "/wall",
    lazy: async () => ({ Component: (await import("../pages/wall/Wall")).Wall }),
    // eslint-disable-next-line @eslint-react/jsx-no-useless-fragment -- the router warns where there is none
    hydrateFallbackElement: <></>,
    errorElement: <Broken />,
  },
  {
    path: "/",
    element: <Shell />,
    // eslint-disable-next-line @eslint-react/jsx-no-useless-fragment -- the router warns where there is none
    hydrateFallbackElement: <></>,
    children: [{ errorElement: <Broken />, children: pages }],
  },
]);
