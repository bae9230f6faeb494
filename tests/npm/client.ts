// What somebody writes with the types that openapi-typescript makes of our document: sign in, list, create, upload.
import createClient from 'openapi-fetch';
import type { paths } from './api';

const [, , baseUrl, email, password] = process.argv;
const anonymous = createClient<paths>({ baseUrl });
const { data: tokens, error } = await anonymous.POST('/auth/login', { body: { email, password } });
if (error) throw new Error(error.message);

const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${tokens.data.access_token}` } });
const created = await client.POST('/users', { body: { email: 'typed@example.com', name: 'Typed', roles: ['member'] } });
if (created.error) throw new Error(created.error.message);

const found = await client.GET('/users', { params: { query: { q: 'typed', limit: 10 } } });
if (found.error) throw new Error(found.error.message);

const changed = await client.PATCH('/users/{user_id}', {
  params: { path: { user_id: created.data.data.id } },
  body: { name: 'Typed Twice' },
});
if (changed.error) throw new Error(changed.error.message);

const uploaded = await client.POST('/users/imports', {
  params: { query: { name: 'people.csv' } },
  body: 'email,name\nimported@example.com,Imported\n',
  bodySerializer: (text) => text,
  headers: { 'Content-Type': 'text/csv' },
});
if (uploaded.error) throw new Error(uploaded.error.message);

console.log(JSON.stringify({
  emails: found.data.data.items.map((user) => user.email),
  name: changed.data.data.name,
  state: uploaded.data.data.state,
}));
