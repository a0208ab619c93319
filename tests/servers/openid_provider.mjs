// A company's OpenID provider: oidc-provider from npm, on a free loopback port, with its own pages for development.
//
// node openid_provider.mjs FOLDER, where FOLDER holds node_modules. Prints its port. A line of JSON on standard input
// then says the client, the accounts (what is typed as the login is the subject) and what else is configured; it answers
// from then on, and says "ready". It ends when its standard input does.
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const entry = join(process.argv[2], 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(entry));

let answer = (request, response) => response.writeHead(503).end();
const server = createServer((request, response) => answer(request, response));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://localhost:${server.address().port}`;
console.log(issuer);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { client, accounts, userinfo } = JSON.parse((await lines.next()).value);
const provider = new Provider(issuer, {
  clients: [client],
  claims: {
    openid: ['sub'],
    profile: ['preferred_username'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  conformIdTokenClaims: userinfo, // then what a scope asks for is told at the userinfo endpoint alone
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: true } },
  ttl: { Session: 3600, Grant: 3600, Interaction: 600, AccessToken: 600, IdToken: 600 },
  findAccount: (_context, subject) =>
    accounts[subject] && { accountId: subject, claims: () => ({ sub: subject, ...accounts[subject] }) },
});
answer = provider.callback();
console.log('ready');
await lines.next();
process.exit(0);
