// Stands before the emulator and adds what Slack has and the emulator lacks:
// Socket Mode with repetitions of what is not acknowledged, the pace of one
// post a second into a channel, and what marks the posts of an app.
//
//   node front.js <port of the emulator>
//
// It prints one JSON object a line about what happens, and takes commands of
// that form: {"do": "disconnect"}, {"do": "pace", "ms": 0}, {"do": "lose", "times": 1}.
'use strict';

const http = require('http');
const crypto = require('crypto');
const readline = require('readline');
const { WebSocketServer } = require('ws');

const emulator = Number(process.argv[2]);
const scopes = 'channels:history,channels:join,channels:read,chat:write,chat:write.customize,groups:history,groups:read,im:history,im:write,users:read';
const app = { id: 'A000000001', bot: 'B000000001', botToken: 'xoxb-parley', appToken: 'xapp-parley', user: '', team: '' };
const repeatAfter = 3000; // docs.slack.dev, "Using Socket Mode": within three seconds

const tell = (fact) => process.stdout.write(JSON.stringify(fact) + '\n');

// --- requests

const read = (stream) => new Promise((resolve, reject) => {
  const parts = [];
  stream.on('data', (part) => parts.push(part)).on('error', reject).on('end', () => resolve(Buffer.concat(parts)));
});

function fields(request, body) {
  if ((request.headers['content-type'] || '').startsWith('application/json')) {
    try { return JSON.parse(body); } catch { return {}; }
  }
  return Object.fromEntries(new URLSearchParams(body.toString()));
}

function answer(response, status, value, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(JSON.stringify(value));
}

// ask passes a request on to the emulator.
function ask(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const onward = { host: '127.0.0.1', port: emulator, method, path, headers: { ...headers, host: `127.0.0.1:${emulator}`, 'content-length': body.length } };
    delete onward.headers['transfer-encoding'];
    http.request(onward, async (r) => resolve({ status: r.statusCode, headers: r.headers, body: await read(r) })).on('error', reject).end(body);
  });
}

const lastPost = new Map(); // by channel
let pace = 1000; // milliseconds
let lose = 0; // answers to posts of the app

// tooFast tells how many seconds the app has to wait, as chat.postMessage does.
function tooFast(channel) {
  const since = Date.now() - (lastPost.get(channel) ?? -Infinity);
  if (since < pace) return Math.max(1, Math.ceil((pace - since) / 1000));
  lastPost.set(channel, Date.now());
  return 0;
}

async function serve(request, response) {
  const body = await read(request);
  const path = request.url.split('?')[0];
  const values = fields(request, body);
  const token = (request.headers.authorization || '').replace(/^Bearer /, '') || values.token || '';
  if (path === '/api/apps.connections.open') return open(token, request, response);
  if (token && !/^(xoxb-parley|xoxp-(sue|tom))$/.test(token)) return answer(response, 200, { ok: false, error: 'invalid_auth' });
  const posting = path === '/api/chat.postMessage';
  const ours = token === app.botToken;
  if (posting && ours) {
    const wait = tooFast(values.channel);
    if (wait) return answer(response, 429, { ok: false, error: 'ratelimited' }, { 'retry-after': String(wait) });
  }
  let headers = request.headers;
  if (token) headers = { ...headers, authorization: 'Bearer ' + token }; // Slack takes it as an argument, too
  let sent = body;
  if (posting && ours) { // the emulator takes from the request what Slack takes from the token
    sent = Buffer.from(JSON.stringify({ ...values, bot_id: app.bot, app_id: app.id }));
    headers = { ...headers, 'content-type': 'application/json; charset=utf-8' };
  }
  const r = await ask(request.method, request.url, headers, sent);
  if (posting) posted(values, r.body);
  if (ours && path === '/api/auth.test') r.body = Buffer.from(JSON.stringify({ ...JSON.parse(r.body), bot_id: app.bot }));
  if (posting && ours && lose > 0) { // it is stored, and nobody hears so
    lose--;
    tell({ unanswered: values.text });
    return request.socket.destroy();
  }
  const extra = ours ? { 'x-oauth-scopes': scopes } : {};
  const clean = { ...r.headers, ...extra };
  delete clean['transfer-encoding'];
  delete clean['content-encoding'];
  response.writeHead(r.status, { ...clean, 'content-length': r.body.length });
  response.end(r.body);
}

// posted tells the app about a message, of whomever it is.
function posted(values, body) {
  let said;
  try { said = JSON.parse(body); } catch { return; }
  if (!said.ok) return;
  const direct = said.channel.startsWith('D');
  const event = { ...said.message, type: 'message', channel: said.channel, channel_type: direct ? 'im' : 'channel', event_ts: said.ts };
  if (event.username) event.subtype = 'bot_message';
  tell({ posted: event });
  push({
    envelope_id: crypto.randomUUID(), type: 'events_api', accepts_response_payload: false, retry_attempt: 0, retry_reason: '',
    payload: {
      token: 'verification-token', team_id: app.team, api_app_id: app.id, event, type: 'event_callback',
      event_id: 'Ev' + crypto.randomBytes(5).toString('hex').toUpperCase(), event_time: Math.floor(Date.now() / 1000),
      authorizations: [{ enterprise_id: null, team_id: app.team, user_id: app.user, is_bot: true, is_enterprise_install: false }],
      is_ext_shared_channel: false,
    },
  });
}

// --- Socket Mode

const tickets = new Set();
const sockets = new Set();
const waiting = new Map(); // envelopes that are not acknowledged, by id
let turn = 0;

function open(token, request, response) {
  if (token !== app.appToken) return answer(response, 200, { ok: false, error: token ? 'not_allowed_token_type' : 'not_authed' });
  const ticket = crypto.randomUUID();
  tickets.add(ticket);
  answer(response, 200, { ok: true, url: `ws://${request.headers.host}/link/?ticket=${ticket}&app_id=${app.id}` });
}

// push sends an envelope by one of the connections, and once more if it is not
// acknowledged, up to three times.
function push(envelope) {
  const open = [...sockets].filter((s) => s.readyState === 1);
  if (open.length) open[turn++ % open.length].send(JSON.stringify(envelope));
  waiting.set(envelope.envelope_id, setTimeout(() => {
    waiting.delete(envelope.envelope_id);
    if (envelope.retry_attempt === 3) return tell({ lost: envelope.payload.event.text });
    push({ ...envelope, envelope_id: crypto.randomUUID(), retry_attempt: envelope.retry_attempt + 1, retry_reason: 'timeout' });
  }, repeatAfter));
}

function acknowledged(text) {
  let id;
  try { id = JSON.parse(text).envelope_id; } catch { return; }
  if (!waiting.has(id)) return;
  clearTimeout(waiting.get(id));
  waiting.delete(id);
  tell({ acknowledged: id });
}

const server = http.createServer((request, response) => serve(request, response).catch((err) => {
  tell({ error: String(err) });
  response.destroy();
}));
const upgrades = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (!tickets.delete(new URL(request.url, 'http://front').searchParams.get('ticket'))) { // good once
    return socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
  }
  upgrades.handleUpgrade(request, socket, head, (s) => {
    sockets.add(s);
    const beat = setInterval(() => s.ping(), 5000);
    s.on('message', acknowledged).on('error', () => {}).on('close', () => { clearInterval(beat); sockets.delete(s); });
    s.send(JSON.stringify({
      type: 'hello', num_connections: sockets.size, connection_info: { app_id: app.id },
      debug_info: { host: 'applink-1', build_number: 1, approximate_connection_time: 18060 },
    }));
    tell({ connected: sockets.size });
  });
});

// --- commands

const commands = {
  disconnect: () => { for (const s of sockets) { s.send(JSON.stringify({ type: 'disconnect', reason: 'refresh_requested', debug_info: { host: 'applink-1' } })); s.close(); } },
  pace: ({ ms }) => { pace = ms; },
  lose: ({ times }) => { lose = times; },
};
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
  tell({ done: command.do });
}).on('close', () => process.exit(0));

async function begin() {
  const r = await ask('POST', '/api/auth.test', { authorization: `Bearer ${app.botToken}` }, Buffer.alloc(0));
  const me = JSON.parse(r.body);
  if (!me.ok) throw new Error(`auth.test: ${me.error}`);
  Object.assign(app, { user: me.user_id, team: me.team_id });
  server.listen(0, '127.0.0.1', () => tell({ listening: server.address().port, team: me.team_id, user: me.user_id }));
}
begin().catch((err) => { tell({ error: String(err) }); process.exit(1); });
