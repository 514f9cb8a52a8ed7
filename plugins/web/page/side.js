// The list of conversations and people, a drawer on narrow screens.

import { avatar, byId, el } from "./dom.js";

export class Side {
  constructor(chat, open, openTo) {
    this.chat = chat;
    this.openConv = open;
    this.openTo = openTo;
    byId("side-open").addEventListener("click", () => this.drawer(true));
    byId("side-close").addEventListener("click", () => this.drawer(false));
    byId("shade").addEventListener("click", () => this.drawer(false));
    byId("side").addEventListener("keydown", (e) => e.key === "Escape" && this.drawer(false));
  }

  drawer(open) {
    const was = byId("side").classList.contains("open");
    byId("side").classList.toggle("open", open);
    byId("shade").hidden = !open;
    if (open) byId("side").querySelector("[aria-current], button")?.focus();
    else if (was) byId("side-open").focus();
  }

  close() {
    if (byId("side").classList.contains("open")) this.drawer(false);
  }

  title(c) {
    if (c.kind !== "outside") return c.title;
    return this.name(c) || c.peer.replace(/^sips?:/, "");
  }

  // name is what the other side calls itself, the last time it said so.
  name(c) {
    return c.messages.findLast((m) => m.from === c.peer && m.name)?.name || "";
  }

  about(c) {
    if (c.kind === "room") return `web:room/${c.title}`;
    return c.peer;
  }

  // ordered lists the conversations as they stand: rooms, then direct ones by
  // their last message.
  ordered() {
    const all = [...this.chat.conversations.values()];
    const last = (c) => c.messages.at(-1)?.seq || 0;
    return [
      ...all.filter((c) => c.kind === "room"),
      ...all.filter((c) => c.kind !== "room").sort((a, b) => last(b) - last(a) || a.title.localeCompare(b.title)),
    ];
  }

  beside(step) {
    const all = this.ordered();
    const at = all.findIndex((c) => c === this.chat.current);
    return all[(at + step + all.length) % all.length].id;
  }

  draw() {
    const { chat } = this;
    const held = document.activeElement?.dataset?.key;
    const all = this.ordered();
    const direct = all.filter((c) => c.kind !== "room");
    byId("rooms").replaceChildren(...all.filter((c) => c.kind === "room").map((c) => this.entry(c)));
    byId("direct").replaceChildren(...direct.map((c) => this.entry(c)));
    byId("direct-none").hidden = direct.length > 0;
    const here = chat.people.filter((n) => n !== chat.me).sort((a, b) => this.here(b) - this.here(a) || a.localeCompare(b));
    byId("people").replaceChildren(...[chat.me, ...here.slice(0, 60)].map((n) => this.person(n)));
    byId("me-avatar").replaceChildren(avatar(chat.me, `web:u/${chat.me}`));
    byId("me-name").textContent = chat.me;
    byId("me-address").textContent = `web:u/${chat.me}`;
    this.counts(all);
    if (held) [...byId("side").querySelectorAll("button")].find((b) => b.dataset.key === held)?.focus();
  }

  here(name) {
    return this.chat.present.includes(name) ? 1 : 0;
  }

  counts(all) {
    const unread = all.reduce((n, c) => n + (c === this.chat.current ? 0 : c.unread), 0);
    const waiting = all.reduce((n, c) => n + c.unread, 0);
    byId("side-badge").hidden = unread === 0;
    byId("side-open").setAttribute("aria-label", `Open the list of conversations${unread ? `, ${unread} unread` : ""}`);
    document.title = (waiting ? `(${waiting}) ` : "") + this.chat.session.title;
    const count = this.chat.present.length;
    byId("conv-count").textContent = this.chat.current?.kind === "room" ? `${count} here now` : "";
  }

  entry(c) {
    const current = c === this.chat.current;
    const lead = c.kind === "room" ? el("span", { class: "hash", "aria-hidden": "true" }, "#") : avatar(this.title(c), c.peer);
    const button = el("button", { class: `entry${c.unread ? " unread" : ""}`, type: "button", "aria-current": current ? "true" : undefined, title: this.about(c) },
      lead, el("bdi", { class: "entry-name" }, this.title(c)),
      c.unread ? el("span", { class: "count" }, c.unread > 99 ? "99+" : `${c.unread}`, el("span", { class: "unseen" }, " unread")) : "");
    button.dataset.key = c.id;
    button.addEventListener("click", () => this.openConv(c.id));
    return el("li", {}, button);
  }

  person(name) {
    const self = name === this.chat.me;
    const here = this.here(name) === 1;
    const label = [avatar(name, `web:u/${name}`), el("span", { class: "entry-name" }, name, self ? " (you)" : ""),
      el("span", { class: `presence${here ? " here" : ""}`, role: "img", "aria-label": here ? "here now" : "away", title: here ? "here now" : "away" })];
    if (self) return el("li", {}, el("span", { class: "entry self" }, ...label));
    const button = el("button", { class: "entry", type: "button", title: `Write to ${name}` }, ...label);
    button.dataset.key = `@${name}`;
    button.addEventListener("click", () => this.openTo(`@${name}`));
    return el("li", {}, button);
  }
}
