import { QueryClientProvider } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { createMemoryRouter, RouterProvider, useLocation } from "react-router";
import { queries } from "../api/responses";

/** Renders a page or a part of one at an address, as the router and the query client have it. */
export function renderAt(address: string, element: ReactNode, pattern = "*") {
  const router = createMemoryRouter(
    [
      {
        element: (
          <>
            {element}
            <Address />
          </>
        ),
        path: pattern,
      },
    ],
    { initialEntries: [address] },
  );
  return render(
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
}

/** The address, for tests of what a click or a key opens. */
function Address() {
  const { pathname, search } = useLocation();
  return <output aria-label="Address">{`${pathname}${search}`}</output>;
}
