import { useLocation } from "react-router";

/** What is shown to a browser that hasn't been let in. */
export function LoginNeeded() {
  const { pathname, search } = useLocation();
  return (
    <main className="page stack" id="main">
      <h1>Sign in</h1>
      <p>
        <a href={`/sign-in?next=${encodeURIComponent(pathname + search)}`}>
          Sign in to this server
        </a>
        , if you have an account here.
      </p>
      <p>
        If you run the server, open the address that <code>headrace serve</code> printed when it
        began (it ends in <code>?token=…</code>), once in this browser. The token is also in the
        file <code>token</code> of the project’s data folder.
      </p>
    </main>
  );
}
