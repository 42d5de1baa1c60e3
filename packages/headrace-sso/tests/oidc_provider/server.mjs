// A real OpenID Connect provider on the loopback address, in which everybody signs in as whoever they type.
// Arguments: the port (0 for any), the id of its key, and the address of the server that people sign in to.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [port, kid, server] = process.argv.slice(2);
const http = createServer();
http.listen(Number(port), "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${http.address().port}`;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "headrace",
        client_secret: process.env.CLIENT_SECRET,
        redirect_uris: [`${server}/sign-in/provider/callback`],
        backchannel_logout_uri: `${server}/sign-in/provider/logout`,
        backchannel_logout_session_required: true,
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" }] },
    cookies: { keys: ["only for tests"] },
    features: { backchannelLogout: { enabled: true } },
    // By default, the provider sends nothing to loopback addresses, where the server under test listens.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    claims: { openid: ["sub", "sid"], profile: ["name"], groups: ["groups"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `Name of ${id}`, groups: ["ops", "staff"] }),
    }),
  });
  http.on("request", provider.callback());
  console.log(issuer);
});
