// An OpenID Connect provider that is not ours, with its own sign-in pages. It prints the port that it listens on, and
// reads from standard input which client it has.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import Provider from 'oidc-provider';

const server = createServer();
server.listen(0, '127.0.0.1', async () => {
  const { port } = server.address();
  console.log(port);
  const client = JSON.parse(await text(process.stdin));
  const provider = new Provider(`http://localhost:${port}`, {
    clients: [client],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['signs cookies in tests only'] },
    findAccount: (context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@other.example`, email_verified: true, name: 'Ada Byron' }),
    }),
  });
  server.on('request', provider.callback());
  console.log('ready');
});
