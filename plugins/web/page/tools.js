// What the person can do to a message: answer, react, edit, delete.

import { byId, el } from "./dom.js";
import { post } from "./net.js";

// touch asks the chat for a change and gives the changed message to take.
export async function touch(what, m, more, take) {
  byId("send-error").textContent = "";
  try {
    take(await post(`api/${what}`, { conv: m.conv, seq: m.seq, ...more }));
  } catch (e) {
    byId("send-error").textContent = `Not done: ${e.message}.`;
  }
}

// tools are the buttons of a message. acts has own, reply, edit, remove, react
// and emoji, a list to choose from.
export function tools(m, acts) {
  if (m.deleted) return "";
  const who = m.name || m.from;
  const bar = el("div", { class: "tools", role: "group", "aria-label": `Message of ${who}` });
  const add = (name, label, f) => {
    const button = el("button", { class: "quiet tool", type: "button", "aria-label": label, "data-do": name }, name);
    button.addEventListener("click", () => f(button));
    bar.append(button);
    return button;
  };
  add("Reply", `Reply to ${who}`, () => acts.reply(m));
  const react = add("React", `React to ${who}`, () => open(!picker.isConnected));
  const picker = choice(acts.emoji, (emoji) => {
    open(false);
    acts.react(m, emoji, false);
  });
  const open = (yes) => {
    react.setAttribute("aria-expanded", String(yes));
    if (yes) {
      react.after(picker);
      picker.firstChild.focus();
    } else {
      picker.remove();
      react.focus();
    }
  };
  picker.addEventListener("keydown", (e) => e.key === "Escape" && open(false));
  react.setAttribute("aria-expanded", "false");
  if (acts.own(m)) {
    if (m.text) add("Edit", "Edit your message", () => acts.edit(m));
    add("Delete", "Delete your message", () => acts.remove(m));
  }
  return bar;
}

// choice are the emoji to choose from.
function choice(emoji, chosen) {
  return el("span", { class: "picker", role: "group", "aria-label": "Choose a reaction" }, ...emoji.map((e) => {
    const button = el("button", { class: "quiet", type: "button", "aria-label": `React with ${e}` }, e);
    button.addEventListener("click", () => chosen(e));
    return button;
  }));
}

// reactions stand beneath a message: each emoji with a count and who. A press
// joins in, or takes the person's own back.
export function reactions(m, acts) {
  if (!m.reactions) return "";
  const groups = new Map();
  for (const r of m.reactions) groups.set(r.emoji, [...(groups.get(r.emoji) || []), r]);
  return el("ul", { class: "reactions", "aria-label": "Reactions" }, ...[...groups].map(([emoji, list]) => {
    const mine = list.some((r) => acts.own(r));
    const names = list.map((r) => r.name || r.from).join(", ");
    const button = el("button", {
      class: "reaction", type: "button", title: names, "aria-pressed": String(mine), "data-do": emoji,
      "aria-label": `${emoji} ${list.length}, from ${names}; ${mine ? "take yours back" : "react too"}`,
    }, el("bdi", {}, emoji), el("span", { class: "small" }, String(list.length)));
    button.addEventListener("click", () => acts.react(m, emoji, mine));
    return el("li", {}, button);
  }));
}
