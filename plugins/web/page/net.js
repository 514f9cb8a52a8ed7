// How the page talks to the chat: requests, and the stream of what happens.

let token = "";

export function setToken(t) {
  token = t || "";
}

// Failure is an answer that says no, in words for the person.
export class Failure extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function ask(path, options) {
  let answer, body;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Failure(0, "the chat cannot be reached");
  }
  try {
    body = await answer.json();
  } catch {
    body = {};
  }
  if (!answer.ok) throw new Failure(answer.status, body.error || `the chat answered ${answer.status}`);
  return body;
}

export const get = (path) => ask(path, {});

export function post(path, value) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Parley-Token": token },
    body: JSON.stringify(value),
  });
}

// upload sends a file and returns its id.
export function upload(file) {
  return ask(`api/files?${new URLSearchParams({ name: file.name })}`, {
    method: "POST",
    headers: { "Content-Type": file.type || "application/octet-stream", "X-Parley-Token": token },
    body: file,
  });
}

// Stream follows what happens from a cursor on, and again from where it was
// after the connection was lost. on has message, presence, read, reset, up and
// down.
export class Stream {
  constructor(cursor, on) {
    this.cursor = cursor;
    this.on = on;
    this.tries = 0;
    this.retry = () => this.timer && this.open();
    window.addEventListener("online", this.retry);
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.timer = undefined;
    const source = new EventSource(`events?since=${this.cursor}`);
    this.source = source;
    const take = (kind, f) =>
      source.addEventListener(kind, (e) => {
        if (source !== this.source) return;
        if (e.lastEventId) this.cursor = e.lastEventId;
        f(JSON.parse(e.data));
      });
    for (const kind of ["message", "presence", "read", "reset"]) take(kind, this.on[kind]);
    take("ready", () => {
      this.tries = 0;
      this.on.up();
    });
    source.addEventListener("error", () => source === this.source && this.lost());
  }

  lost() {
    this.source.close();
    this.tries++;
    this.on.down(this.tries);
    const wait = Math.min(400 * 2 ** (this.tries - 1), 10000) * (0.7 + 0.6 * Math.random());
    this.timer = setTimeout(() => this.open(), wait);
  }

  close() {
    clearTimeout(this.timer);
    window.removeEventListener("online", this.retry);
    this.source.close();
    this.source = undefined;
  }
}
