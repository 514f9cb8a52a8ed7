// The box that goes to a conversation or begins one, by keyboard.

import { byId, el } from "./dom.js";

export class Switcher {
  constructor(chat, open, openTo) {
    this.chat = chat;
    this.openConv = open;
    this.openTo = openTo;
    this.dialog = byId("switch");
    this.input = byId("switch-to");
    this.input.addEventListener("input", () => this.draw(0));
    this.input.addEventListener("keydown", (e) => this.key(e));
    byId("switch-form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.choose(this.at);
    });
    this.dialog.addEventListener("click", (e) => e.target === this.dialog && this.dialog.close());
  }

  open() {
    this.input.value = "";
    byId("switch-error").textContent = "";
    this.draw(0);
    if (!this.dialog.open) this.dialog.showModal();
    this.input.focus();
  }

  key(e) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!step || this.choices.length === 0) return;
    e.preventDefault();
    e.stopPropagation();
    this.draw((this.at + step + this.choices.length) % this.choices.length);
  }

  // matches lists what the typed words can mean, the likeliest first.
  matches() {
    const typed = this.input.value.trim();
    const has = (s) => s.toLowerCase().includes(typed.toLowerCase().replace(/^@/, ""));
    const list = [];
    for (const c of this.chat.conversations.values()) {
      if (has(c.title) || has(c.peer || "")) list.push({ label: c.kind === "room" ? `# ${c.title}` : c.title.replace(/^sips?:/, ""), hint: c.kind === "room" ? "room" : c.peer, go: () => this.openConv(c.id) });
    }
    for (const n of this.chat.people) {
      if (n === this.chat.me || !has(n) || this.talksWith(`web:u/${n}`)) continue;
      list.push({ label: n, hint: "person here", to: `@${n}` });
    }
    if (typed && !typed.startsWith("@")) {
      const full = this.complete(typed);
      if (full && !this.talksWith(full)) {
        const entry = { label: full, hint: "write to this address", to: full };
        if (typed.includes(":") || typed.includes("@")) list.unshift(entry);
        else list.push(entry);
      }
    }
    return list.slice(0, 8);
  }

  talksWith(address) {
    return [...this.chat.conversations.values()].some((c) => c.peer === address);
  }

  // complete makes a full address of what is typed.
  complete(typed) {
    if (typed.includes(":")) return typed;
    if (typed.includes("@")) return `sip:${typed}`;
    return this.chat.session.domain && !/\s/.test(typed) ? `sip:${typed}@${this.chat.session.domain}` : "";
  }

  draw(at) {
    this.choices = this.matches();
    this.at = Math.min(at, this.choices.length - 1);
    byId("switch-list").replaceChildren(...this.choices.map((c, i) => {
      const option = el("li", { role: "option", id: `choice-${i}`, "aria-selected": i === this.at ? "true" : "false" },
        el("bdi", { class: "entry-name" }, c.label), el("bdi", { class: "muted small" }, c.hint));
      option.addEventListener("click", () => this.choose(i));
      return option;
    }));
    if (this.at >= 0) this.input.setAttribute("aria-activedescendant", `choice-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  async choose(i) {
    const choice = this.choices[i];
    const typed = this.input.value.trim();
    if (!choice && !typed) return;
    let wrong = "";
    if (choice?.go) {
      this.dialog.close();
      choice.go();
      return;
    }
    wrong = await this.openTo(choice ? choice.to : typed);
    byId("switch-error").textContent = wrong;
    if (!wrong) this.dialog.close();
  }
}
