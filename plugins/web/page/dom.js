// Building blocks of the page. Text from anywhere enters the page as text
// nodes only, here and everywhere else.

export const byId = (id) => document.getElementById(id);

// el makes an element: el("p", {class: "muted"}, "text", child…).
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== undefined && c !== null && c !== ""));
  return node;
}

// hue gives the same colour class for the same address.
function hue(text) {
  let h = 7;
  for (const c of text) h = Math.imul(h ^ c.codePointAt(0), 2654435761) >>> 0;
  return (h >>> 8) % 10;
}

// avatar is a person's initials on their colour.
export function avatar(name, address) {
  const words = name.replace(/^[a-z]+:/i, "").replace(/@.*/, "").split(/[\s._-]+/).filter(Boolean);
  const first = (w) => (w ? [...w][0].toUpperCase() : "");
  const initials = words.length > 1 ? first(words[0]) + first(words[1]) : [...(words[0] || "?")].slice(0, 2).join("");
  return el("span", { class: `avatar hue${hue(address || name)}`, "aria-hidden": "true" }, initials.toUpperCase());
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export function time(ms) {
  const t = new Date(ms);
  return el("time", { datetime: t.toISOString(), title: when(ms) }, clock.format(t));
}

// when is a time with its day, in words.
export const when = (ms) => whole.format(new Date(ms));

export const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

export function dayName(ms) {
  const now = Date.now();
  if (sameDay(ms, now)) return "Today";
  if (sameDay(ms, now - 86400000)) return "Yesterday";
  return date.format(new Date(ms));
}

// linked makes text with its web links into nodes. A link is http or https as
// the browser itself reads it, and shows exactly where it leads.
export function linked(text) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"'`]+/gi)) {
    const shown = match[0].replace(/[.,;:!?)\]}*_~]+$/, "");
    let url;
    try {
      url = new URL(shown);
    } catch {
      continue;
    }
    if ((url.protocol !== "https:" && url.protocol !== "http:") || url.username || url.password) continue;
    nodes.push(text.slice(at, match.index));
    nodes.push(el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" }, shown));
    at = match.index + shown.length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((n) => n !== "");
}

// What formatted text may consist of; of the attributes only links have one.
const formats = new Set(["P", "H1", "H2", "H3", "H4", "H5", "H6", "UL", "OL", "LI", "BLOCKQUOTE", "PRE", "CODE", "STRONG", "EM", "DEL", "BR"]);

// formatted makes nodes of HTML. It is built anew from what is known: tags of
// other kinds give only their words, and links lead where linked lets them.
export function formatted(html) {
  const body = new DOMParser().parseFromString(html, "text/html").body;
  return [...body.childNodes].flatMap((n) => rebuilt(n, 0));
}

function rebuilt(node, depth) {
  if (node.nodeType === Node.TEXT_NODE) return [document.createTextNode(node.data)];
  if (node.nodeType !== Node.ELEMENT_NODE || depth > 40) return [];
  const inside = [...node.childNodes].flatMap((n) => rebuilt(n, depth + 1));
  if (formats.has(node.tagName)) return [el(node.tagName.toLowerCase(), {}, ...inside)];
  if (node.tagName !== "A") return inside;
  let url;
  try {
    url = new URL(node.getAttribute("href"));
  } catch {
    return inside;
  }
  const safe = ["https:", "http:", "mailto:", "tel:", "sip:"].includes(url.protocol) && !url.username && !url.password;
  return safe ? [el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", title: url.href }, ...inside)] : inside;
}

// size is how large a file is, for people.
export function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1048576) return `${Math.ceil(bytes / 1024)} KB`;
  return `${(bytes / 1048576).toFixed(1)} MB`;
}

// once calls f when calls to the returned function have paused for ms.
export function once(f, ms) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(f, ms);
  };
}
