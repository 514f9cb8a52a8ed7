// What a message answers.

import { el } from "./dom.js";

// gist is a message in a few words.
export function gist(m) {
  const words = m.deleted ? "message deleted" : m.text || (m.files || []).map((f) => f.name).join(", ") || "";
  return `${m.name || m.from}: ${words.replace(/\s+/g, " ").slice(0, 80)}`;
}

// quote shows what m answers, root, as a link that leads there; root is not
// given when it is not loaded. Without an answer it names the thread.
export function quote(m, root, go) {
  if (m.reply) {
    const link = el("a", { class: "thread quote muted", href: `#${encodeURIComponent(m.conv)}`, title: "Go to what this answers", "data-do": "quote" },
      "↳ ", el("bdi", {}, root ? gist(root) : "an earlier message"));
    link.addEventListener("click", (e) => {
      e.preventDefault();
      go(m.reply);
    });
    return link;
  }
  if (!m.thread) return "";
  return el("p", { class: "thread muted", title: "This stands in a thread of the network it came from" },
    "↳ thread ", root ? el("bdi", {}, gist(root)) : "");
}
