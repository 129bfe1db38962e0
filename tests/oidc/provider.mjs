// A real OpenID provider for the tests: oidc-provider on a free port. Whoever comes is signed in at once as the
// account that the test has named, so no test has to fill in the provider's forms.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import Provider from 'oidc-provider';

export const CLIENT = { id: 'floodmark', secret: randomBytes(24).toString('hex') };

/** Who there is, with what the provider says of them. */
const ACCOUNTS = {
  alice: { email: 'alice@shop.example', groups: ['fm-admins', 'everybody'] },
  bob: { email: 'bob@shop.example', groups: ['fm-viewers'] },
  mallory: { email: 'mallory@shop.example', groups: ['everybody'] },
  taken: { email: 'root@shop.example', groups: ['fm-admins'] },
};

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: randomBytes(6).toString('hex') };
}

/**
 * Starts a provider to whose client the browser comes back at `redirect`.
 *
 * @returns `issuer`; `as`, which names who comes next; `showOtherKeys`, from when on the keys that it shows are
 *   not those that it signs with; `groups`, which gives an account others; `asked`, which says how often each of
 *   its routes was; `changeUserinfo`, which is given its answers there; `stop`
 *
 * `tls` (`key`, `cert`) makes it speak TLS, as `localhost`. With `claimsBy: 'userinfo'` its ID tokens say who
 * somebody is, and nothing else; with `'signed userinfo'` that answer is a signed token.
 */
export async function startProvider(redirect, { codeLastsS = 60, port = 0, tls, claimsBy = 'token' } = {}) {
  const listener = (request, response) => handle(request, response);
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  const issuer = `${tls ? 'https://localhost' : 'http://127.0.0.1'}:${server.address().port}`;
  const state = { account: 'alice', showsOtherKeys: false, changeUserinfo: () => {} };
  const asked = {};
  const isSigned = claimsBy === 'signed userinfo';
  const accounts = structuredClone(ACCOUNTS);
  const key = newKey();
  const { kty, use, alg, kid, e } = key;
  const shownInstead = { kty, use, alg, kid, e, n: newKey().n };

  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        redirect_uris: [redirect],
        token_endpoint_auth_method: 'client_secret_basic',
        ...(isSigned && { userinfo_signed_response_alg: 'RS256' }),
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    claims: { openid: ['sub'], email: ['email', 'groups'] },
    // Claims in the ID token, as Keycloak and others put them there; else by the letter of the standard.
    conformIdTokenClaims: claimsBy !== 'token',
    pkce: { required: () => true },
    ttl: { AuthorizationCode: codeLastsS, Interaction: 600, Session: 600, Grant: 600, IdToken: 600, AccessToken: 600 },
    features: { devInteractions: { enabled: false }, jwtUserinfo: { enabled: isSigned } },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, ...accounts[sub] }) }),
    async loadExistingGrant(context) {
      const grant = new context.oidc.provider.Grant({
        clientId: context.oidc.client.clientId,
        accountId: context.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email');
      await grant.save();
      return grant;
    },
  });
  provider.use(async (context, next) => {
    await next();
    if (context.oidc?.route === 'jwks' && state.showsOtherKeys) context.body = { keys: [shownInstead] };
    const route = context.oidc?.route;
    asked[route] = (asked[route] ?? 0) + 1;
    if (route === 'userinfo') state.changeUserinfo(context);
  });
  const answer = provider.callback();
  function handle(request, response) {
    if (!request.url.startsWith('/interaction/')) return answer(request, response);
    const login = { accountId: state.account };
    provider.interactionFinished(request, response, { login }).catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  }

  return {
    issuer,
    as: (account) => (state.account = account),
    showOtherKeys: () => (state.showsOtherKeys = true),
    changeUserinfo: (change) => (state.changeUserinfo = change),
    asked,
    groups: (account, groups) => (accounts[account].groups = groups),
    stop: () =>
      new Promise((done) => {
        server.close(done);
        server.closeAllConnections();
      }),
  };
}
