// The page: who am I, which conversations are there, and what is being said.

import { byId, once } from "./dom.js";
import { Failure, Stream, get, post, setToken } from "./net.js";
import { Log } from "./log.js";
import { Side } from "./side.js";
import { Composer } from "./composer.js";
import { Switcher } from "./switcher.js";
import { touch } from "./tools.js";

const chat = {
  me: "",
  session: {},
  conversations: new Map(),
  present: [],
  people: [],
  current: undefined,
};

const own = (m) => m.from === `web:u/${chat.me}`;
const acts = {
  own,
  older,
  emoji: [],
  reply: (m) => composer.answer(m),
  edit: (m) => composer.edit(m),
  remove: (m) => confirm("Delete this message for everybody?") && touch("delete", m, {}, take),
  react: (m, emoji, remove) => touch("react", m, { emoji, remove }, take),
};
const log = new Log(acts);
const side = new Side(chat, open, openTo);
const composer = new Composer(chat, (m) => take(m));
const switcher = new Switcher(chat, open, openTo);
let stream;

async function start() {
  let session;
  try {
    session = await get("api/session");
  } catch (e) {
    if (e.status === 403) return fatal(e.message);
    fatal(`${e.message}; trying again…`);
    setTimeout(start, 2000);
    return;
  }
  byId("fatal").hidden = true;
  chat.session = session;
  byId("title").textContent = byId("join-title").textContent = session.title;
  document.title = session.title;
  byId("join-secret").hidden = !session.password;
  byId("join-password").required = session.password;
  if (!session.name) return showJoin();
  chat.me = session.name;
  acts.emoji = session.reactions;
  setToken(session.token);
  await load();
}

function fatal(words) {
  byId("fatal").textContent = words;
  byId("fatal").hidden = false;
}

function showJoin() {
  stream?.close();
  byId("chat").hidden = true;
  byId("join").hidden = false;
  byId("join-name").focus();
}

byId("join-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  byId("join-error").textContent = "";
  try {
    await post("api/join", { name: byId("join-name").value, password: byId("join-password").value });
    byId("join-password").value = "";
    await start();
  } catch (err) {
    byId("join-error").textContent = err.message;
    byId("join-name").focus();
  }
});

byId("leave").addEventListener("click", async () => {
  if (!confirm("Leave and give your name back? Whoever takes it next does not see your direct messages, and neither will you.")) return;
  await post("api/leave", {});
  location.reload();
});

// load fetches everything and follows what happens from there.
async function load() {
  stream?.close();
  const state = await get("api/state").catch((e) => e);
  if (state instanceof Failure) {
    if (state.status === 401) return showJoin();
    banner(`${state.message}; trying again…`);
    setTimeout(load, 2000);
    return;
  }
  chat.conversations = new Map(state.conversations.map((c) => [c.id, c]));
  chat.present = state.present;
  chat.people = state.people;
  byId("join").hidden = true;
  byId("chat").hidden = false;
  banner("");
  stream = new Stream(state.cursor, { message: take, presence, read, reset: load, up: () => banner(""), down });
  const wanted = decodeURIComponent(location.hash.slice(1));
  const keep = chat.current && chat.conversations.has(chat.current.id) ? chat.current.id : wanted;
  open(chat.conversations.has(keep) ? keep : state.conversations[0].id);
}

function banner(words) {
  byId("banner").textContent = words;
  byId("banner").hidden = !words;
}

async function down(tries) {
  if (tries >= 2) banner("The connection is lost. What you see may be old; connecting again…");
  if (tries % 3 !== 2) return;
  const session = await get("api/session").catch(() => undefined);
  if (session && session.name !== chat.me) showJoin();
}

function presence(names) {
  chat.present = names;
  for (const n of names) if (!chat.people.includes(n)) chat.people.push(n);
  side.draw();
}

function read({ conv, read: upTo }) {
  const c = chat.conversations.get(conv);
  if (!c) return;
  c.read = Math.max(c.read, upTo);
  c.unread = c.messages.filter((m) => m.seq > c.read && !own(m)).length;
  side.draw();
}

// take puts a message, new or changed, where it belongs. The same one may come
// again; a higher rev is the later word.
function take(m) {
  const c = chat.conversations.get(m.conv);
  if (!c) return missing(m.conv);
  const list = c.messages;
  let i = list.length;
  while (i > 0 && list[i - 1].seq >= m.seq) i--;
  const known = list[i]?.seq === m.seq;
  if (known && list[i].rev >= m.rev) return;
  if (!known && i === 0 && c.more) return; // older than what is loaded
  list.splice(i, known ? 1 : 0, m);
  if (!known && !own(m) && m.seq > c.read) c.unread++;
  if (c === chat.current) {
    log.put(i, !known);
    byId("empty").hidden = true;
    markRead();
  }
  if (!known) side.draw();
}

// missing fetches the list again when somebody begins a conversation.
const missing = once(async () => {
  const state = await get("api/state").catch(() => undefined);
  if (!state) return;
  for (const c of state.conversations) if (!chat.conversations.has(c.id)) chat.conversations.set(c.id, c);
  side.draw();
}, 50);

function open(id) {
  const c = chat.conversations.get(id);
  if (!c) return;
  composer.leave();
  chat.current = c;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  byId("conv-title").textContent = (c.kind === "room" ? "# " : "") + side.title(c);
  byId("conv-sub").textContent = side.about(c);
  byId("older").hidden = !c.more;
  log.show(c);
  empty(c);
  side.close();
  side.draw();
  composer.enter();
  markRead();
}

function empty(c) {
  byId("empty").hidden = c.messages.length > 0;
  byId("empty").textContent =
    c.kind === "room"
      ? `Nothing has been said in ${c.title} yet. What you write here reaches everybody in the room, and the SIP users who are members of it, if a route says so.`
      : `This is the beginning of your conversation with ${side.title(c)}. Nothing has been said yet.`;
}

// openTo opens the conversation with an address and returns what is wrong.
async function openTo(to) {
  try {
    const c = await post("api/open", { to });
    if (!chat.conversations.has(c.id)) chat.conversations.set(c.id, c);
    open(c.id);
    return "";
  } catch (e) {
    return e.message;
  }
}

byId("older").addEventListener("click", older);

// older loads more of the conversation and tells whether it has.
async function older() {
  const c = chat.current;
  const first = c.messages[0];
  if (!first || !c.more) return false;
  const answer = await get(`api/history?conv=${encodeURIComponent(c.id)}&before=${first.seq}`).catch(() => undefined);
  if (!answer || c !== chat.current || c.messages[0] !== first) return false;
  c.messages.unshift(...answer.messages);
  c.more = answer.more;
  byId("older").hidden = !c.more;
  log.more(answer.messages.length);
  return answer.messages.length > 0;
}

// markRead tells how far the person has read, when the page is looked at.
const tellRead = once(() => {
  const c = chat.current;
  if (c && c.read > (c.told || 0)) {
    c.told = c.read;
    post("api/read", { conv: c.id, seq: c.read }).catch(() => (c.told = 0));
  }
}, 600);

function markRead() {
  const c = chat.current;
  const last = c?.messages.at(-1);
  if (!last || document.hidden || !document.hasFocus() || !log.atEnd()) return;
  c.read = Math.max(c.read, last.seq);
  if (c.unread) {
    c.unread = 0;
    side.draw();
  }
  tellRead();
}

byId("scroll").addEventListener("scroll", markRead);
window.addEventListener("focus", markRead);
document.addEventListener("visibilitychange", markRead);

document.addEventListener("keydown", (e) => {
  if (byId("chat").hidden) return;
  if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") {
    e.preventDefault();
    switcher.open();
  } else if (e.altKey && (e.key === "ArrowUp" || e.key === "ArrowDown")) {
    e.preventDefault();
    open(side.beside(e.key === "ArrowUp" ? -1 : 1));
  }
});

byId("new").addEventListener("click", () => switcher.open());

start();
