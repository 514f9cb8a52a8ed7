// The list of messages of the conversation that is open.

import { avatar, byId, dayName, el, formatted, linked, sameDay, size, time, when } from "./dom.js";
import { quote } from "./quote.js";
import { reactions, tools } from "./tools.js";

// The pictures that the chat gives out as such.
const pictures = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

const marks = {
  sending: ["◌", "sending"],
  sent: ["✓", "sent"],
  accepted: ["✓", "accepted by the far side"],
  delivered: ["✓✓", "delivered"],
  displayed: ["✓✓", "seen"],
  failed: ["!", "failed"],
};

// Groups of one person's messages are broken by a pause of five minutes.
const pause = 5 * 60 * 1000;

export class Log {
  // acts says what the person can do to a message, see tools; acts.own tells
  // whether one is theirs, acts.older loads more.
  constructor(acts) {
    this.acts = acts;
    this.own = acts.own;
    this.list = byId("log");
    this.scroll = byId("scroll");
    this.pill = byId("pill");
    this.nodes = new Map();
    this.stick = true; // stay at the end when the view changes its size
    this.scroll.addEventListener("scroll", () => {
      this.stick = this.atEnd();
      if (this.stick) this.seen();
    });
    this.pill.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.stick && this.toEnd()).observe(this.scroll);
  }

  // show fills the list with a conversation.
  show(conv) {
    this.conv = conv;
    this.line = conv.unread > 0 ? conv.read : Infinity;
    this.nodes.clear();
    this.list.setAttribute("aria-busy", "true");
    this.list.replaceChildren(...conv.messages.map((m, i) => this.node(m, conv.messages[i - 1])));
    this.list.removeAttribute("aria-busy");
    this.toEnd();
  }

  // more puts older messages on top and keeps what is in view where it is.
  more(count) {
    const height = this.scroll.scrollHeight;
    const { messages } = this.conv;
    const added = messages.slice(0, count).map((m, i) => this.node(m, messages[i - 1]));
    this.list.prepend(...added);
    if (messages[count]) this.rebuild(count);
    this.scroll.scrollTop += this.scroll.scrollHeight - height;
  }

  // put shows the message at a place of the conversation, new or changed.
  put(index, isNew) {
    const m = this.conv.messages[index];
    const atEnd = this.atEnd();
    this.rebuild(index);
    if (index + 1 < this.conv.messages.length) this.rebuild(index + 1);
    this.conv.messages.forEach((o, i) => o.reply === m.seq && i > index + 1 && this.rebuild(i));
    if (!isNew) {
      if (atEnd) this.toEnd();
      return;
    }
    if (atEnd || this.own(m)) this.toEnd();
    else this.pill.hidden = false;
  }

  rebuild(index) {
    const { messages } = this.conv;
    const old = this.nodes.get(messages[index].seq);
    const node = this.node(messages[index], messages[index - 1]);
    if (old) {
      const focused = old.contains(document.activeElement) && (document.activeElement.dataset.do || "");
      old.replaceWith(node);
      if (focused !== false) this.refocus(node, focused);
      return;
    }
    const next = messages.slice(index + 1).find((m) => this.nodes.has(m.seq));
    this.list.insertBefore(node, next ? this.nodes.get(next.seq) : null);
  }

  // refocus gives the focus to the button of the same name.
  refocus(node, name) {
    const same = name && node.querySelector(`[data-do="${CSS.escape(name)}"]`);
    (same || node.querySelector(".message")).focus();
  }

  // go shows an earlier message, which may have to be loaded.
  async go(seq) {
    while (!this.nodes.has(seq) && (await this.acts.older()));
    const message = this.nodes.get(seq)?.querySelector(".message");
    if (!message) return;
    message.scrollIntoView({ block: "center" });
    message.focus();
  }

  atEnd() {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < 60;
  }

  toEnd() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.seen();
  }

  seen() {
    this.pill.hidden = true;
  }

  node(m, before) {
    const own = this.own(m);
    const newDay = !before || !sameDay(before.time, m.time);
    const unread = !own && m.seq > this.line && (!before || before.seq <= this.line || this.own(before)) && !this.lineDrawn(m);
    const follows =
      before && !newDay && !unread && before.from === m.from && before.name === m.name &&
      (before.thread || "") === (m.thread || "") && m.time - before.time < pause;
    const item = el("li", { class: `item${follows ? " follows" : ""}${own ? " own" : ""}` });
    if (newDay) item.append(el("div", { class: "day", role: "separator" }, el("span", {}, dayName(m.time))));
    if (unread) item.append(el("div", { class: "day fresh", role: "separator" }, el("span", {}, "New")));
    item.append(
      el("article", { class: "message", tabindex: -1 },
        follows ? el("span", { class: "gutter", "aria-hidden": "true" }, time(m.time)) : avatar(m.name || m.from, m.from),
        el("div", { class: "body" }, follows ? el("span", { class: "unseen" }, `${m.name || m.from}: `) : this.head(m), this.quote(m), ...this.content(m), reactions(m, this.acts), this.mark(m, own)),
        tools(m, this.acts)));
    this.nodes.set(m.seq, item);
    return item;
  }

  // lineDrawn tells whether an earlier message already has the "New" line.
  lineDrawn(m) {
    return this.conv.messages.some((o) => o.seq > this.line && o.seq < m.seq && !this.own(o));
  }

  head(m) {
    const address = m.from.replace(/^web:u\//, "@");
    const named = m.name && m.name !== m.from;
    return el("header", { class: "head" },
      el("bdi", { class: "name" }, named ? m.name : address),
      named && address !== `@${m.name}` ? el("bdi", { class: "address muted" }, address) : "",
      m.automatic ? el("span", { class: "tag" }, "automatic") : "",
      time(m.time));
  }

  quote(m) {
    const root = this.conv.messages.find((o) => (m.reply ? o.seq === m.reply : o.anchor === m.thread && o.seq !== m.seq && !o.thread));
    return quote(m, root, (seq) => this.go(seq));
  }

  content(m) {
    if (m.deleted) return [el("p", { class: "text gone muted" }, "message deleted")];
    const parts = [];
    if (m.title) parts.push(el("p", { class: "subject", dir: "auto" }, m.title));
    if (m.html) parts.push(el("div", { class: "text rich", dir: "auto" }, ...formatted(m.html)));
    else if (m.text) parts.push(el("p", { class: "text", dir: "auto" }, ...linked(m.text)));
    if (m.files) parts.push(el("ul", { class: "files" }, ...m.files.map((f, n) => el("li", {}, this.file(m, f, n)))));
    if (m.edited) parts.push(el("span", { class: "edited muted small", title: when(m.edited) }, "edited"));
    return parts;
  }

  // file is a picture that opens, or a name that is saved.
  file(m, f, n) {
    const at = `api/file?${new URLSearchParams({ conv: m.conv, seq: m.seq, n })}`;
    const shown = pictures.has(f.type)
      ? el("img", { src: at, alt: f.name, loading: "lazy" })
      : el("span", { class: "file-name" }, "📎 ", el("bdi", {}, f.name));
    return el("a", { class: "file", href: at, download: f.name, title: `Save ${f.name}` }, shown, el("span", { class: "muted small" }, size(f.size)));
  }

  mark(m, own) {
    if (!own || !m.mark) return "";
    const [sign, words] = marks[m.mark] || ["", m.mark];
    if (m.mark === "failed") {
      const reason = (m.reason || "").split("\n").join("; ");
      return el("p", { class: "mark failed", title: reason }, `${sign} failed${reason ? ": " : ""}`, el("bdi", {}, reason));
    }
    return el("p", { class: `mark ${m.mark}`, title: words }, el("span", { "aria-hidden": "true" }, sign), el("span", { class: "mark-words" }, words));
  }
}
