// What slides over the chat: the scanner, a large picture, a web page, the "…" menu.

import { avatar, h, icon, webAddress } from "./dom.js";
import { chatTime } from "./text.js";

function sheet(name, className, ...children) {
  return h("div", { class: `sheet ${className}`, role: "dialog", "aria-modal": "true", "aria-label": name }, children);
}

function closeButton(phone, label = "关闭") {
  return h("button", { type: "button", class: "bar-button", "aria-label": label, title: label, onclick: () => phone.closeSheet() }, icon("close"));
}

function bar(phone, title, ...end) {
  return h("div", { class: "title-bar" }, h("span", { class: "bar-side" }, closeButton(phone)), h("h3", {}, title), h("span", { class: "bar-side end" }, end));
}

// ---- 扫一扫 ------------------------------------------------------------------------------

export function scanSheet(phone) {
  const codes = codesOfOthers(phone);
  return sheet("扫一扫", "scan-sheet",
    bar(phone, "扫一扫"),
    h("div", { class: "viewfinder", "aria-hidden": "true" }, h("span", { class: "scan-line" })),
    codes.length > 0
      ? h("p", { class: "scan-hint" }, "选一张别人手机里的二维码")
      : h("p", { class: "scan-hint" }, "别的手机里还没有二维码。先让一位朋友在公众号菜单里要一张自己的海报。"),
    h("div", { class: "codes" }, codes.map(([other, message], index) =>
      h("button", {
        type: "button", class: "code", "data-focus": index === 0, "aria-label": `扫 ${other.owner.name} 的图片，${chatTime(message.at, phone.now())}`,
        onclick: () => phone.scan({ image_message_id: message.id }),
      }, h("img", { src: webAddress(message.image_url), alt: "" }), h("span", {}, avatar(other.owner.name, "tiny"), `${other.owner.name} · ${chatTime(message.at, phone.now())}`)))),
    addressForm(phone));
}

// Newest first: the poster somebody has just received is the one to scan.
function codesOfOthers(phone) {
  const found = [];
  for (const other of phone.app.phones) {
    if (other === phone) continue;
    for (const message of other.messages) if (message.type === "image" && webAddress(message.image_url)) found.push([other, message]);
  }
  return found.sort(([, a], [, b]) => b.id - a.id);
}

function addressForm(phone) {
  const input = h("input", { type: "text", name: "code", autocomplete: "off", placeholder: "或粘贴二维码的网址、ticket", "aria-label": "二维码的网址或 ticket" });
  return h("form", { class: "code-form", onsubmit: (event) => {
    event.preventDefault();
    const code = input.value.trim();
    if (code) phone.scan(/^https?:/i.test(code) ? { url: code } : { ticket: code });
  } }, input, h("button", { type: "submit", class: "mini-button light" }, "扫"));
}

// ---- 大图 --------------------------------------------------------------------------------

export function imageSheet(phone, message) {
  const address = webAddress(message.image_url);
  const others = phone.app.phones.filter((other) => other !== phone);
  return sheet("图片", "image-sheet",
    bar(phone, ""),
    h("button", { type: "button", class: "large-picture", "aria-label": "关闭大图", onclick: () => phone.closeSheet() }, h("img", { src: address, alt: "图片消息" })),
    h("div", { class: "image-actions" },
      others.map((other) => h("button", { type: "button", class: "pill", onclick: () => {
        phone.closeSheet();
        other.app.show(other);
        other.scan({ image_message_id: message.id });
      } }, icon("scan"), `${other.owner.name} 来扫`)),
      h("a", { class: "pill", href: address, target: "_blank", rel: "noopener" }, "原图")));
}

// ---- 网页 --------------------------------------------------------------------------------

export function webSheet(phone, url) {
  const frame = h("iframe", {
    class: "web-page", title: `${phone.owner.name} 打开的网页`, src: phone.app.pageAddress(phone, url),
    sandbox: "allow-scripts allow-forms allow-same-origin allow-modals allow-popups",
    referrerpolicy: "no-referrer-when-downgrade",
  });
  const reload = h("button", { type: "button", class: "bar-button", "aria-label": "刷新网页", title: "刷新网页", onclick: () => {
    frame.src = phone.app.pageAddress(phone, url);
  } }, icon("reload"));
  const page = sheet("网页", "web-sheet", bar(phone, new URL(url).host, reload), frame);
  page.dataset.url = url;
  return page;
}

// Two phones in one browser share its cookies, so only the page opened last may stay alive.
export function sleepingPage(phone, url) {
  const wake = h("button", { type: "button", class: "follow-button", onclick: () => phone.openPage(url) }, "继续");
  return sheet("网页", "web-sheet", bar(phone, new URL(url).host), h("div", { class: "sleeping" }, h("p", {}, "另一部手机打开了网页，这一页先停在这里。"), wake));
}

// ---- … -----------------------------------------------------------------------------------

export function moreSheet(phone) {
  const choice = (label, onclick, className = "") => h("button", { type: "button", class: className, onclick }, label);
  const panel = h("div", { class: "actions" });
  const confirm = () => {
    panel.replaceChildren(
      h("p", {}, `取消关注后不再收到「${phone.accountName}」的消息与通知。`),
      choice("不再关注", () => {
        phone.closeSheet();
        phone.unfollow();
      }, "danger"),
      choice("取消", () => phone.closeSheet(), "cancel"));
    panel.querySelector("button").focus();
  };
  panel.append(
    choice("扫一扫", () => phone.open(scanSheet(phone))),
    choice("复制 openid", () => copyOpenid(phone)),
    choice("取消关注", confirm, "danger"),
    choice("取消", () => phone.closeSheet(), "cancel"));
  const shade = h("div", { class: "shade", onclick: () => phone.closeSheet() });
  return sheet("更多", "more-sheet", shade, panel);
}

async function copyOpenid(phone) {
  phone.closeSheet();
  try {
    await navigator.clipboard.writeText(phone.owner.openid);
    phone.toast("openid 已复制");
  } catch {
    phone.toast(phone.owner.openid); // no clipboard without https or permission: show it instead
  }
}
