// Where the person writes.

import { byId, el, size } from "./dom.js";
import { gist } from "./quote.js";
import { post, upload } from "./net.js";

export class Composer {
  constructor(chat, sent) {
    this.chat = chat;
    this.sent = sent;
    this.drafts = new Map();
    this.text = byId("text");
    this.text.addEventListener("input", () => {
      this.nonce = undefined;
      this.grow();
    });
    this.text.addEventListener("keydown", (e) => this.key(e));
    this.files = [];
    byId("attach").addEventListener("change", (e) => this.attach(e.target));
    this.text.addEventListener("paste", (e) => e.clipboardData.files.length && this.attach(e.clipboardData));
    byId("composer").addEventListener("submit", (e) => {
      e.preventDefault();
      this.send();
    });
    byId("reply-cancel").addEventListener("click", () => this.cancel());
  }

  // attach uploads files, which go along with what is sent next.
  async attach(from) {
    const chosen = [...from.files];
    if ("value" in from) from.value = "";
    byId("send-error").textContent = "";
    for (const file of chosen) {
      try {
        this.uploading = (this.uploading || 0) + 1;
        this.files.push(await upload(file));
        this.nonce = undefined;
      } catch (e) {
        byId("send-error").textContent = `${file.name} was not added: ${e.message}.`;
      } finally {
        this.uploading--;
      }
      this.list();
    }
    this.text.focus();
  }

  // list shows what goes along.
  list() {
    byId("attached").replaceChildren(...this.files.map((f) => {
      const away = el("button", { type: "button", class: "icon", "aria-label": `Leave out ${f.name}` }, "✕");
      away.addEventListener("click", () => {
        this.files = this.files.filter((o) => o !== f);
        this.nonce = undefined;
        this.list();
      });
      return el("li", {}, el("bdi", {}, f.name), " ", el("span", { class: "muted small" }, size(f.size)), away);
    }));
  }

  key(e) {
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
      e.preventDefault();
      this.send();
    } else if (e.key === "Escape" && (this.to || this.editing)) {
      this.cancel();
    }
  }

  grow() {
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight + 2, window.innerHeight * 0.4)}px`;
  }

  // answer chooses the message to reply to; none without one.
  answer(m) {
    if (m && this.editing) this.cancel();
    this.to = m;
    this.nonce = undefined;
    this.about(m && `↳ Reply to ${gist(m)}`);
  }

  // edit takes an earlier message up again; what was being written waits.
  edit(m) {
    if (this.editing) this.cancel();
    this.before = { text: this.text.value, to: this.to, files: this.files };
    this.editing = m;
    this.write(m.text, []);
    this.about(`✎ Editing ${gist(m)}`);
  }

  // about says above the text what it is for.
  about(words) {
    byId("reply").hidden = !words;
    byId("reply-text").textContent = words || "";
    if (words) this.text.focus();
  }

  write(text, files) {
    this.text.value = text;
    this.files = files;
    this.nonce = undefined;
    this.list();
    this.grow();
  }

  // cancel ends a reply or an edit.
  cancel() {
    const before = this.editing && this.before;
    this.editing = undefined;
    if (before) this.write(before.text, before.files);
    this.answer(before?.to);
    this.text.focus();
  }

  leave() {
    if (this.editing) this.cancel();
    if (this.conv) this.drafts.set(this.conv.id, { text: this.text.value, to: this.to, files: this.files });
  }

  enter() {
    this.conv = this.chat.current;
    const draft = this.drafts.get(this.conv.id);
    this.text.value = draft?.text || "";
    this.text.placeholder = this.conv.kind === "room" ? `Message #${this.conv.title}` : `Message ${this.conv.title.replace(/^sips?:/, "")}`;
    this.files = draft?.files || [];
    this.list();
    this.answer(draft?.to);
    byId("send-error").textContent = "";
    this.grow();
    if (matchMedia("(hover: hover)").matches) this.text.focus();
  }

  // send posts what is written. The text stays until the chat has it; the
  // same text sent again after a failure is the same message.
  async send() {
    const text = this.text.value.trim();
    if (this.editing) return this.save(text);
    if ((!text && !this.files.length) || this.busy || this.uploading) return;
    this.busy = true;
    this.nonce ||= nonce();
    const conv = this.conv;
    byId("send-error").textContent = "";
    try {
      const m = await post("api/messages", { conv: conv.id, text, nonce: this.nonce, reply: this.to?.seq || 0, files: this.files.map((f) => f.id) });
      this.drafts.delete(conv.id);
      if (conv === this.conv && this.editing) this.before = { text: "", files: [] };
      else if (conv === this.conv) this.clear();
      this.sent(m);
    } catch (e) {
      byId("send-error").textContent = `Not sent: ${e.message}. Your text is still here.`;
    } finally {
      this.busy = false;
    }
  }

  // save posts what an earlier message says now.
  async save(text) {
    if (!text || this.busy) return;
    this.busy = true;
    const m = this.editing;
    byId("send-error").textContent = "";
    try {
      const now = await post("api/edit", { conv: m.conv, seq: m.seq, text });
      if (m === this.editing) this.cancel();
      this.sent(now);
    } catch (e) {
      byId("send-error").textContent = `Not changed: ${e.message}. Your text is still here.`;
    } finally {
      this.busy = false;
    }
  }

  clear() {
    this.text.value = "";
    this.files = [];
    this.list();
    this.nonce = undefined;
    this.answer();
    this.grow();
    this.text.focus();
  }
}

function nonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
