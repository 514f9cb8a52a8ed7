// Slack's own clients, driven over lines of JSON.
//
//   node sdk.js <URL of the Web API>
//
// {"id": 1, "token": "xoxp-…", "method": "chat.postMessage", "args": {…}} calls a method by @slack/web-api and prints
// {"id": 1, "result": {…}} or {"id": 1, "error": "…"}. {"listen": "xapp-…"} listens by @slack/socket-mode,
// prints each event and acknowledges it, but for as many of the next ones as {"drop": 1} says.
'use strict';

const readline = require('readline');
const { WebClient } = require('@slack/web-api');
const { SocketModeClient, LogLevel } = require('@slack/socket-mode');

const url = process.argv[2];
const tell = (fact) => process.stdout.write(JSON.stringify(fact) + '\n');
const clients = new Map();

function client(token) {
  if (!clients.has(token)) clients.set(token, new WebClient(token, { slackApiUrl: url }));
  return clients.get(token);
}

async function call({ id, token, method, args }) {
  try {
    tell({ id, result: await client(token).apiCall(method, args ?? {}) });
  } catch (err) {
    tell({ id, error: err.data ? err.data.error : String(err) });
  }
}

let drop = 0;

async function listen({ listen: token }) {
  const socket = new SocketModeClient({ appToken: token, clientOptions: { slackApiUrl: url }, logLevel: LogLevel.ERROR });
  socket.on('message', async ({ event, ack, retry_num: retry }) => {
    const dropped = drop-- > 0;
    tell({ event, retry, dropped });
    if (!dropped) await ack();
  });
  await socket.start();
  tell({ listening: true });
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  if (command.drop) drop = command.drop;
  else (command.listen ? listen(command) : call(command)).catch((err) => tell({ error: String(err) }));
}).on('close', () => process.exit(0));
