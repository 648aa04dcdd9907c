// One phone: a person, the chat with the account, the menu bar, and what lies on top of them.

import { post } from "./api.js";
import { messageRow, timeSeparator } from "./chat.js";
import { avatar, fill, h, icon, webAddress, yuan } from "./dom.js";
import { imageSheet, moreSheet, scanSheet, webSheet } from "./sheets.js";
import { chatTime, clockTime } from "./text.js";

const TOAST_MS = 2200;
const NEAR_END_PX = 60;

export class Phone {
  // app offers: world, phones, refresh(), webPageOpened(phone).
  constructor(owner, app) {
    this.owner = owner;
    this.app = app;
    this.messages = [];
    this.typing = false;
    this.orders = [];
    this.sheet = null;
    this.openPage = this.openPage.bind(this);
    this.say = this.say.bind(this);
    this.showImage = this.showImage.bind(this);
    this.build();
  }

  get accountName() {
    return this.app.world.account?.name ?? "公众号";
  }

  now() {
    return this.app.world.clock.now;
  }

  // ---- structure -------------------------------------------------------------------------

  build() {
    this.time = h("span", {}, "");
    this.title = h("h3", {}, "");
    this.back = h("span", { class: "bar-side" });
    this.more = h("button", { type: "button", class: "bar-button", "aria-label": "更多", title: "更多", onclick: () => this.open(moreSheet(this)) }, icon("more"));
    const scan = h("button", { type: "button", class: "bar-button scan-button", "aria-label": "扫一扫", title: "扫一扫", onclick: () => this.open(scanSheet(this)) }, icon("scan"));
    this.chat = h("div", { class: "chat", role: "log", "aria-label": `${this.owner.name} 的聊天`, tabindex: "0" });
    this.followChat();
    this.profile = h("div", { class: "profile", hidden: true });
    this.inputBar = h("div", { class: "input-bar" });
    this.content = h("div", { class: "content" },
      h("div", { class: "title-bar" }, this.back, this.title, h("span", { class: "bar-side end" }, scan, this.more)),
      this.chat, this.profile, this.inputBar);
    this.layer = h("div", { class: "layer" });
    this.toastBox = h("div", { class: "toast", role: "status", hidden: true });
    this.screen = h("div", { class: "screen" },
      h("div", { class: "status-bar", "aria-hidden": "true" }, this.time,
        h("span", { class: "status-icons" }, icon("signal", "i-signal"), icon("wifi", "i-wifi"), icon("battery", "i-battery"))),
      this.content, this.layer, this.toastBox);
    this.acceptDrops(this.screen);
    this.screen.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.escape();
    });
    this.screen.addEventListener("click", (event) => {
      if (!event.target.closest(".input-bar")) this.closePopup();
    });
    this.shop = h("div", { class: "shop" });
    this.element = h("section", { class: "phone", id: `phone-${this.owner.id}`, "aria-label": `${this.owner.name} 的手机` },
      h("h2", { class: "owner" }, avatar(this.owner.name), h("span", {}, `${this.owner.name} 的手机`)),
      h("div", { class: "case" }, this.screen),
      this.shop);
  }

  acceptDrops(target) {
    const carriesImage = (event) => event.dataTransfer?.types.includes("text/x-image-message");
    target.addEventListener("dragover", (event) => {
      if (!carriesImage(event)) return;
      event.preventDefault();
      target.classList.add("drop-target");
    });
    target.addEventListener("dragleave", (event) => {
      if (!target.contains(event.relatedTarget)) target.classList.remove("drop-target");
    });
    target.addEventListener("drop", (event) => {
      target.classList.remove("drop-target");
      if (!carriesImage(event)) return;
      event.preventDefault();
      this.scan({ image_message_id: Number(event.dataTransfer.getData("text/x-image-message")) });
    });
  }

  // ---- what the person does -------------------------------------------------------------

  // Runs one action against the control API; a refusal is shown as WeChat would show it.
  async act(path, body, success) {
    try {
      const answer = await post(path, { account: this.app.world.account?.app_id, user: this.owner.id, wait: false, ...body });
      if (success) this.toast(success);
      return answer;
    } catch (error) {
      this.toast(error.message);
      return null;
    } finally {
      this.app.refresh();
    }
  }

  follow() {
    return this.act("/_sim/follow");
  }

  unfollow() {
    return this.act("/_sim/unfollow");
  }

  say(content, menuId = "") {
    return this.act("/_sim/text", { content, menu_id: menuId });
  }

  async scan(code) {
    this.closeSheet();
    const answer = await this.act("/_sim/scan", code);
    if (answer?.opens) this.openPage(answer.opens);
  }

  async buy(product) {
    const answer = await this.act("/_sim/buy", { sku: product.sku });
    if (answer) this.reportShopAnswer(answer, `已付款 ${yuan(product.price_fen)}`);
  }

  async settleOrder(order, what, word) {
    const answer = await this.act(`/_sim/orders/${encodeURIComponent(order.order_no)}/${what}`);
    if (answer) this.reportShopAnswer(answer, word);
  }

  // The shop took the money in any case; whether the server under test took the order is another matter.
  reportShopAnswer(answer, word) {
    const { status, error } = answer.api;
    if (status === null) this.toast(`${word}，但商家的服务器没有应答（${error}）`);
    else if (status >= 400) this.toast(`${word}，但商家的服务器拒收：HTTP ${status} ${answer.api.body?.message ?? ""}`);
    else this.toast(word);
  }

  tapMenu(item) {
    this.closePopup();
    if (item.type === "view") {
      this.act("/_sim/view", { url: item.url });
      this.openPage(item.url);
    } else if (item.type === "click") {
      this.act("/_sim/click", { key: item.key });
    } else {
      this.act("/_sim/tap", { name: item.name }, TAP_WORDS[item.type]);
    }
  }

  openPage(address) {
    const url = webAddress(address);
    if (!url) {
      this.toast("打不开这个地址");
      return;
    }
    this.open(webSheet(this, url));
    this.app.webPageOpened(this);
  }

  showImage(message) {
    this.open(imageSheet(this, message));
  }

  // ---- sheets, pop-ups, toasts ----------------------------------------------------------

  open(sheet) {
    this.closePopup();
    this.closeSheet();
    this.returnFocus = document.activeElement;
    this.sheet = sheet;
    this.content.inert = true;
    this.layer.replaceChildren(sheet);
    (sheet.querySelector("[data-focus]") ?? sheet.querySelector("button"))?.focus({ preventScroll: true });
  }

  // Something WeChat itself shows over a page: paying, receiving, allowing notices.
  overlay(element, onclose) {
    this.closeOverlay();
    this.over = { element, onclose };
    this.layer.append(element);
    element.querySelector("[data-focus]").focus({ preventScroll: true });
  }

  closeOverlay() {
    this.over?.element.remove();
    this.over?.onclose();
    this.over = null;
  }

  closeSheet() {
    this.closeOverlay();
    if (!this.sheet) return;
    this.sheet = null;
    this.content.inert = false;
    this.layer.replaceChildren();
    if (this.returnFocus?.isConnected) this.returnFocus.focus({ preventScroll: true });
  }

  closePopup() {
    const open = this.inputBar.querySelector('[aria-expanded="true"]');
    open?.setAttribute("aria-expanded", "false");
    this.inputBar.querySelector(".popup:not([hidden])")?.setAttribute("hidden", "");
    return open;
  }

  escape() {
    if (this.over) this.closeOverlay();
    else if (this.sheet) this.closeSheet();
    else this.closePopup()?.focus();
  }

  toast(words) {
    this.toastBox.textContent = words;
    this.toastBox.hidden = false;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => {
      this.toastBox.hidden = true;
    }, TOAST_MS);
  }

  // ---- drawing --------------------------------------------------------------------------

  draw() {
    this.time.textContent = clockTime(this.now());
    this.title.textContent = this.owner.following ? (this.owner.typing ? "对方正在输入…" : this.accountName) : "";
    this.more.hidden = !this.owner.following;
    this.drawProfile();
    this.drawChat();
    this.drawInput();
    this.drawShop();
  }

  // Draws a part only when what it shows has changed, so that focus and open pop-ups survive a poll.
  changed(part, shown) {
    const key = JSON.stringify(shown);
    this.shown ??= {};
    if (this.shown[part] === key) return false;
    this.shown[part] = key;
    return true;
  }

  drawProfile() {
    const account = this.app.world.account;
    const following = this.owner.following;
    this.profile.hidden = following;
    this.chat.hidden = !following;
    this.inputBar.hidden = !following;
    if (!this.changed("profile", [following, account?.name, account?.gh_id]) || following) return;
    fill(this.profile,
      h("div", { class: "profile-head" }, avatar(this.accountName, "account large"),
        h("div", {}, h("h4", {}, this.accountName), h("p", {}, `微信号：${account?.gh_id ?? "—"}`), h("p", {}, "服务号 · 模拟"))),
      h("p", { class: "profile-about" }, "关注后可以收到这个公众号的消息与服务通知。"),
      h("button", { type: "button", class: "follow-button", onclick: () => this.follow() }, "关注公众号"),
      h("p", { class: "profile-hint" }, "也可以点右上角的扫一扫，扫另一部手机里的二维码来关注。"));
  }

  drawChat() {
    const newest = this.messages.at(-1)?.id ?? 0;
    const first = this.messages[0]?.id ?? 0;
    if (!this.changed("chat", [first, newest, this.accountName])) return;
    if (first !== this.drawnFirst || this.accountName !== this.drawnAccount) {
      this.chat.replaceChildren();
      this.drawnNewest = 0;
    }
    let previous = this.messages.findLast((message) => message.id <= (this.drawnNewest ?? 0));
    for (const message of this.messages) {
      if (message.id <= (this.drawnNewest ?? 0)) continue;
      const separator = timeSeparator(message, previous, this.now());
      if (separator) this.chat.append(separator);
      this.chat.append(messageRow(message, this));
      previous = message;
    }
    Object.assign(this, { drawnFirst: first, drawnNewest: newest, drawnAccount: this.accountName });
    if (this.messages.at(-1)?.from === "me") this.atEnd = true;
    this.stayAtEnd();
  }

  // Whoever reads the newest message keeps seeing it when more come, a picture has loaded or the phone
  // gets smaller; whoever has scrolled up is left in peace.
  followChat() {
    this.atEnd = true;
    let before = 0;
    this.chat.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.chat;
      // Only a move up means "leave me here": a picture that has loaded since makes the end run away.
      if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) this.atEnd = true;
      else if (scrollTop < before) this.atEnd = false;
      before = scrollTop;
    });
    this.chat.addEventListener("load", () => this.stayAtEnd(), { capture: true });
    new ResizeObserver(() => this.stayAtEnd()).observe(this.chat);
  }

  stayAtEnd() {
    if (this.atEnd) this.chat.scrollTop = this.chat.scrollHeight;
  }

  // A clock that has moved makes "今天" into "昨天".
  redrawTimes() {
    for (const element of this.chat.querySelectorAll("time")) {
      element.textContent = chatTime(Number(element.dataset.at), this.now());
    }
  }

  drawInput() {
    const buttons = this.owner.menu?.button ?? [];
    if (!this.changed("input", [buttons, this.typing])) return;
    const writes = this.typing || buttons.length === 0;
    const toggle = buttons.length > 0 && h("button", {
      type: "button", class: "mode-button", "aria-label": writes ? "切换到菜单" : "切换到键盘", title: writes ? "切换到菜单" : "切换到键盘",
      onclick: () => this.toggleTyping(),
    }, icon(writes ? "menu" : "keyboard"));
    fill(this.inputBar, toggle, writes ? this.writingRow() : this.menuRow(buttons));
  }

  toggleTyping() {
    this.typing = !this.typing;
    this.drawInput();
    (this.inputBar.querySelector("input") ?? this.inputBar.querySelector("button"))?.focus();
  }

  writingRow() {
    const input = h("input", { type: "text", name: "content", maxlength: "600", autocomplete: "off", enterkeyhint: "send", "aria-label": "消息" });
    const send = h("button", { type: "submit", class: "send-button" }, "发送");
    return h("form", { class: "writing", onsubmit: (event) => {
      event.preventDefault();
      const content = input.value.trim();
      if (!content) return;
      input.value = "";
      this.say(content);
    } }, input, send);
  }

  menuRow(buttons) {
    return h("div", { class: "menu", role: "menubar", "aria-label": "公众号菜单", onkeydown: (event) => walkMenu(event) }, buttons.map((button) => this.menuButton(button)));
  }

  menuButton(button) {
    const children = button.sub_button ?? [];
    if (children.length === 0) {
      return h("div", { class: "menu-cell" }, h("button", { type: "button", role: "menuitem", onclick: () => this.tapMenu(button) }, h("span", {}, button.name)));
    }
    const popup = h("div", { class: "popup", role: "menu", "aria-label": button.name, hidden: true },
      children.map((child) => h("button", { type: "button", role: "menuitem", onclick: () => this.tapMenu(child) }, child.name)));
    const opener = h("button", {
      type: "button", role: "menuitem", "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => {
        const wasOpen = opener.getAttribute("aria-expanded") === "true";
        this.closePopup();
        if (wasOpen) return;
        opener.setAttribute("aria-expanded", "true");
        popup.hidden = false;
      },
    }, icon("lines", "menu-lines"), h("span", {}, button.name));
    return h("div", { class: "menu-cell" }, popup, opener);
  }

  drawShop() {
    const shop = this.app.world.shop;
    const orders = this.orders;
    if (!this.changed("shop", [shop, orders])) return;
    this.shop.hidden = !shop;
    if (!shop) return;
    const scrolled = this.shop.querySelector(".orders")?.scrollTop ?? 0;
    fill(this.shop,
      h("div", { class: "goods", role: "group", "aria-label": `${this.owner.name} 在${shop.name}购物` },
        shop.products.map((product) => h("button", { type: "button", class: "buy-button", title: `${product.title} ${yuan(product.price_fen)}`, onclick: () => this.buy(product) },
          h("span", { class: "buy-title" }, product.title), h("span", { class: "buy-price" }, `购买 ${yuan(product.price_fen)}`)))),
      orders.length > 0 && h("ul", { class: "orders", "aria-label": `${this.owner.name} 的订单` }, orders.map((order) => this.orderRow(order))));
    const list = this.shop.querySelector(".orders");
    if (list) list.scrollTop = scrolled;
  }

  orderRow(order) {
    const name = `${order.title} ${yuan(order.amount_fen)}`;
    const action = (what, label, word) => h("button", { type: "button", class: "mini-button", "aria-label": `${label} ${order.order_no}`, onclick: () => this.settleOrder(order, what, word) }, label);
    return h("li", { title: order.order_no },
      h("span", { class: "order-name" }, name),
      h("span", { class: `order-state ${order.status}` }, ORDER_WORDS[order.status] ?? order.status),
      order.status === "paid" && action("complete", "确认收货", "已确认收货"),
      order.status !== "refunded" && action("refund", "退款", "已退款"));
  }
}

// What the phone would show now; the simulator makes something up and tells the account.
const TAP_WORDS = {
  scancode_push: "扫了一个码", scancode_waitmsg: "扫了一个码", pic_sysphoto: "拍了一张照片",
  pic_photo_or_album: "选了一张照片", pic_weixin: "选了一张照片", location_select: "选了一个位置", miniprogram: "打开了小程序",
};

const ORDER_WORDS = { paid: "已付款", completed: "已完成", refunded: "已退款" };

// Arrow keys walk along the bar and up and down an open pop-up, as in any menu bar.
function walkMenu(event) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };
  const step = steps[event.key];
  if (!step) return;
  const popup = event.target.closest(".popup");
  const vertical = event.key === "ArrowDown" || event.key === "ArrowUp";
  const expanded = event.target.getAttribute("aria-expanded") === "true";
  let items;
  if (popup && vertical) items = [...popup.querySelectorAll("button")];
  else if (expanded && vertical) items = [event.target, ...event.target.parentElement.querySelectorAll(".popup button")];
  else if (!popup && !vertical) items = [...event.currentTarget.querySelectorAll(".menu-cell > button")];
  if (!items) return;
  event.preventDefault();
  const place = (items.indexOf(event.target) + step + items.length) % items.length;
  items[place].focus();
}
