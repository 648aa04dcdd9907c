// Messages of one chat as WeChat draws them.

import { avatar, h, icon, webAddress } from "./dom.js";
import { chatTime, richText } from "./text.js";

const SEPARATOR_SECONDS = 300;

// What is not drawn is at least named.
const KIND_WORDS = {
  voice: "语音",
  video: "视频",
  shortvideo: "小视频",
  music: "音乐",
  location: "位置",
  link: "链接",
  miniprogrampage: "小程序",
  mpnews: "图文消息",
  mpnewsarticle: "图文消息",
  wxcard: "卡券",
};

// phone offers: owner, accountName, openPage(url), say(text), showImage(message), now().
export function messageRow(message, phone) {
  if (message.from === "system") return h("div", { class: "notice", "data-message": message.id }, message.text);
  const body = contentOf(message, phone);
  const wide = message.type === "news" || message.type === "template" || message.type === "subscribe" || message.type === "subscription";
  if (wide) return h("div", { class: "row wide", "data-message": message.id }, body);
  const mine = message.from === "me";
  const face = mine ? avatar(phone.owner.name) : avatar(phone.accountName, "account");
  const speaker = h("span", { class: "sr-only" }, mine ? "我：" : `${phone.accountName}：`);
  return h("div", { class: `row ${mine ? "mine" : "theirs"}`, "data-message": message.id }, face, speaker, body);
}

export function timeSeparator(message, previous, now) {
  if (previous && message.at - previous.at < SEPARATOR_SECONDS && message.at >= previous.at) return null;
  const time = h("time", { class: "separator", "data-at": message.at });
  time.textContent = chatTime(message.at, now);
  return time;
}

function contentOf(message, phone) {
  switch (message.type) {
    case "image":
      return picture(message, phone);
    case "news":
      return articles(message, phone);
    case "template":
    case "subscribe":
      return card(message, phone);
    case "subscription":
      return card(message, phone);
    case "voice":
    case "video":
    case "shortvideo":
      return message.media_url ? player(message) : bubble(message, phone);
    case "music":
    case "miniprogrampage":
    case "link":
      return piece(message, phone);
    case "msgmenu":
      return messageMenu(message, phone);
    default:
      return bubble(message, phone);
  }
}

function bubble(message, phone) {
  if (message.type === "text") return h("div", { class: "bubble" }, richText(message.text, { open: phone.openPage, say: phone.say }));
  const details = [message.title, message.text].filter(Boolean).join("\n");
  return h("div", { class: "bubble" }, `[${KIND_WORDS[message.type] ?? message.type}] ${details}`);
}

function player(message) {
  const tag = message.type === "voice" ? "audio" : "video";
  const name = KIND_WORDS[message.type];
  return h("div", { class: "bubble media" }, h(tag, { src: webAddress(message.media_url), controls: true, preload: "metadata", "aria-label": name }), message.title && h("p", {}, message.title));
}

// Something with a title and a small picture: music, a mini program, a link.
function piece(message, phone) {
  const cover = webAddress(message.image_url);
  const page = webAddress(message.url);
  const inside = [
    h("span", { class: "piece-words" }, h("span", { class: "piece-title" }, message.title || KIND_WORDS[message.type]), h("span", { class: "piece-text" }, message.text || KIND_WORDS[message.type])),
    cover && h("img", { src: cover, alt: "", loading: "lazy" }),
  ];
  if (message.type !== "miniprogrampage" && page) return h("button", { type: "button", class: "bubble piece", onclick: () => phone.openPage(page) }, inside);
  return h("div", { class: "bubble piece" }, inside);
}

function picture(message, phone) {
  const image = h("img", { src: webAddress(message.image_url), alt: "图片消息", loading: "lazy", draggable: false });
  return h(
    "button",
    {
      type: "button",
      class: "picture",
      draggable: "true",
      "aria-label": "查看大图",
      title: "点开看大图，也可以拖到另一部手机上扫码",
      onclick: () => phone.showImage(message),
      ondragstart: (event) => {
        event.dataTransfer.setData("text/x-image-message", String(message.id));
        event.dataTransfer.effectAllowed = "copy";
      },
    },
    image,
  );
}

function articles(message, phone) {
  const [first, ...rest] = message.articles;
  if (!first) return bubble({ type: "text", text: "[图文消息]" }, phone);
  const cover = webAddress(first.image_url);
  const lead = h(
    "button",
    { type: "button", class: "article-lead", onclick: () => phone.openPage(first.url) },
    cover && h("img", { src: cover, alt: "", loading: "lazy" }),
    h("span", { class: "article-title" }, first.title),
    rest.length === 0 && first.description && h("span", { class: "article-digest" }, first.description),
  );
  const others = rest.map((article) =>
    h(
      "button",
      { type: "button", class: "article-row", onclick: () => phone.openPage(article.url) },
      h("span", {}, article.title),
      webAddress(article.image_url) && h("img", { src: webAddress(article.image_url), alt: "", loading: "lazy" }),
    ),
  );
  return h("article", { class: "card" }, lead, others);
}

function card(message, phone) {
  const rows = message.fields.map(({ label, value }) => [h("dt", {}, label), h("dd", {}, value)]);
  return h(
    "article",
    { class: "card template", "aria-label": message.title || "服务通知" },
    h("header", {}, avatar(phone.accountName, "account small"), h("span", {}, phone.accountName)),
    h("h3", {}, message.title || "服务通知"),
    h("dl", {}, rows),
    webAddress(message.url) &&
      h("button", { type: "button", class: "card-link", onclick: () => phone.openPage(message.url) }, "查看详情", icon("chevron")),
  );
}

function messageMenu(message, phone) {
  const choices = message.choices.map((choice) =>
    h("button", { type: "button", class: "text-link block", onclick: () => phone.say(choice.text, choice.id) }, choice.text),
  );
  return h("div", { class: "bubble" }, message.text, choices, message.tail);
}
