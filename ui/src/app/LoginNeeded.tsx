/** What is shown to a browser that hasn't been let in. */
export function LoginNeeded() {
  return (
    <main className="page stack" id="main">
      <h1>This needs the token</h1>
      <p>
        Open the address that <code>headrace serve</code> printed when it began (it ends in{" "}
        <code>?token=…</code>), once in this browser. The token is also in the file{" "}
        <code>token</code> of the project’s data folder.
      </p>
    </main>
  );
}
