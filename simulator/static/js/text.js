// What a WeChat bubble makes of a text: line breaks, addresses, <a href="…"> and nothing else.

import { h, webAddress } from "./dom.js";

const LINK =
  /<a\s[^>]*?href\s*=\s*(["'])(.*?)\1[^>]*>([\s\S]*?)<\/a>|https?:\/\/[^\s<>"'，。、；：！？（）【】「」]+/gi;
const MENU_LINK = /^weixin:\/\/bizmsgmenu\?(.*)$/i;

// open(url) opens a page in the phone; say(text) sends the text of a message menu link.
export function richText(text, { open, say }) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    parts.push(text.slice(from, match.index), link(match, { open, say }));
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

function link(match, { open, say }) {
  const [whole, , href, label] = match;
  if (href === undefined) return button(whole, () => open(whole));
  const menu = MENU_LINK.exec(href);
  if (menu) {
    const content = new URLSearchParams(menu[1]).get("msgmenucontent") || label;
    return button(label, () => say(content));
  }
  return webAddress(href) ? button(label, () => open(href)) : whole;
}

function button(label, onclick) {
  return h("button", { type: "button", class: "text-link", onclick }, label);
}

const ZONE = "Asia/Shanghai";
const clockFormat = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, hour: "2-digit", minute: "2-digit", hour12: false });
const secondFormat = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dateFormat = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, year: "numeric", month: "long", day: "numeric" });
const dayFormat = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, month: "long", day: "numeric" });
const dayKey = new Intl.DateTimeFormat("en-CA", { timeZone: ZONE });

// Instants are seconds since 1970, as everywhere in the control API.
export const clockTime = (at) => clockFormat.format(at * 1000);
export const clockSeconds = (at) => secondFormat.format(at * 1000);
export const longDate = (at) => dateFormat.format(at * 1000);

export function chatTime(at, now) {
  const day = dayKey.format(at * 1000);
  if (day === dayKey.format(now * 1000)) return clockTime(at);
  if (day === dayKey.format((now - 86400) * 1000)) return `昨天 ${clockTime(at)}`;
  return `${dayFormat.format(at * 1000)} ${clockTime(at)}`;
}
