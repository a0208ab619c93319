// oidc-provider as a token service: client-credentials JWTs, signed by ES256 as ours are, kept in memory.
// Usage: node oidc_tokens.mjs FOLDER, where npm has installed it. Prints its URL.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const entry = `${process.argv[2]}/node_modules/oidc-provider/lib/index.js`;
const { Provider } = await import(pathToFileURL(entry));
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const server = createServer().listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    jwks: { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: 'first' }] },
    clients: [
      {
        client_id: 'ci',
        client_secret: 'made-up',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://packages.acme.example/simple/',
        getResourceServerInfo: () => ({
          scope: 'pypi:read',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(url);
});
