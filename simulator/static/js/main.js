// The page: one world, polled; phones, guide and panel draw it.

import { get, post } from "./api.js";
import { avatar, fill, h } from "./dom.js";
import { Guide } from "./guide.js";
import { answer } from "./inside.js";
import { Panel } from "./panel.js";
import { Phone } from "./phone.js";
import { sleepingPage } from "./sheets.js";

const POLL_MS = 700;
// Right after an act its consequences come one by one: look more often, for a while.
const EAGER_POLL_MS = 150;
const EAGER_FOR_MS = 4000;
const RETRY_MS = 3000;
const PANEL_CLOSED = "simulator.panel.closed";

const byId = (id) => document.getElementById(id);

class App {
  constructor() {
    this.world = { account: null, accounts: [], users: [], shop: null, clock: { now: 0, offset_seconds: 0 }, faults: {} };
    this.phones = [];
    this.wanted = new URLSearchParams(location.search).get("account") ?? "";
    this.forget();
    this.desk = byId("desk");
    this.panel = new Panel(byId("panel"), this);
    this.guide = new Guide(byId("guide"));
    this.wireHeader();
    this.watchTabs();
    window.addEventListener("message", (event) => this.answerPage(event));
    document.addEventListener("visibilitychange", () => !document.hidden && this.refresh());
    this.poll();
  }

  forget() {
    this.cursor = 0;
    this.epoch = null;
    this.unfinished = new Set();
  }

  // ---- polling --------------------------------------------------------------------------

  // Ask again at once: something was done. A poll under way is followed by another one.
  refresh() {
    this.hurry = true;
    this.eagerUntil = performance.now() + EAGER_FOR_MS;
    if (!this.polling) this.poll();
  }

  async poll() {
    clearTimeout(this.timer);
    this.polling = true;
    let failed;
    do {
      this.hurry = false;
      try {
        this.take(await get(this.stateAddress()));
        failed = false;
      } catch (error) {
        console.warn("poll failed", error);
        failed = true;
      }
    } while (this.hurry && !failed);
    byId("offline").hidden = !failed;
    this.polling = false;
    if (!document.hidden) this.timer = setTimeout(() => this.poll(), this.pause(failed));
  }

  pause(failed) {
    if (failed) return RETRY_MS;
    return performance.now() < (this.eagerUntil ?? 0) ? EAGER_POLL_MS : POLL_MS;
  }

  stateAddress() {
    const query = new URLSearchParams({ after: this.cursor, open: [...this.unfinished].join(","), account: this.wanted });
    return `/_sim/state?${query}`;
  }

  // ---- taking an answer in --------------------------------------------------------------

  take(state) {
    if (this.epoch !== null && state.epoch !== this.epoch) this.startOver();
    this.epoch = state.epoch;
    this.cursor = Math.max(this.cursor, state.cursor);
    const moved = Math.abs(state.clock.offset_seconds - this.world.clock.offset_seconds) > 60;
    const shop = state.shops.find((each) => each.account === state.account?.app_id) ?? null;
    this.world = { ...state, shop };
    this.takeUsers(state.users);
    this.takeMessages(state.messages);
    this.takeLog(state);
    for (const phone of this.phones) {
      phone.orders = state.orders.filter((order) => order.user === phone.owner.id);
      phone.draw();
      if (moved) phone.redrawTimes();
    }
    this.drawHeader();
    this.guide.draw(state.guide);
    this.panel.draw(this.world);
    document.body.classList.toggle("has-orders", state.orders.length > 0);
    // The panel was alone at first; a narrow screen starts with the first phone.
    if (!document.body.dataset.ready) this.desk.scrollLeft = 0;
    document.body.dataset.ready = "true";
  }

  startOver() {
    this.forget();
    for (const phone of this.phones) phone.element.remove();
    this.phones = [];
    this.panel.clear();
    this.refresh();
  }

  takeUsers(users) {
    for (const user of users) {
      const phone = this.phones.find((each) => each.owner.id === user.id);
      if (phone) {
        phone.owner = user;
        // Old messages scroll out of a chat.
        phone.messages = phone.messages.filter((message) => message.id >= (user.first_message ?? Infinity));
      } else {
        const added = new Phone(user, this);
        this.phones.push(added);
        byId("phones").append(added.element);
        this.tabWatcher.observe(added.element);
      }
    }
    this.drawTabs();
  }

  takeMessages(messages) {
    for (const message of messages) {
      const phone = this.phones.find((each) => each.owner.id === message.user);
      if (!phone || phone.messages.some((each) => each.id === message.id)) continue;
      phone.messages.push(message);
      if (this.loaded && message.from !== "me" && phone !== this.current) phone.unread = true;
    }
    this.loaded = true;
    this.drawTabs();
  }

  takeLog({ pushes, calls, reports }) {
    for (const push of pushes) {
      if (push.done) this.unfinished.delete(push.id);
      else this.unfinished.add(push.id);
    }
    this.panel.addPushes(pushes);
    this.panel.addCalls(calls);
    this.panel.addReports(reports);
  }

  nameOf(openid) {
    return this.world.users.find((user) => user.openid === openid)?.name ?? "";
  }

  // ---- header, naming, panel ------------------------------------------------------------

  wireHeader() {
    const dialog = byId("naming");
    byId("add-phone").addEventListener("click", () => this.askName());
    byId("naming-cancel").addEventListener("click", () => dialog.close("cancel"));
    dialog.querySelector("form").addEventListener("submit", async (event) => {
      const name = new FormData(event.target).get("name").trim();
      event.target.reset();
      if (name) await this.addPhone(name);
    });
    byId("toggle-panel").addEventListener("click", () => this.togglePanel(document.body.classList.contains("panel-closed")));
    this.togglePanel(localStorage.getItem(PANEL_CLOSED) !== "yes");
    byId("account").addEventListener("change", (event) => {
      location.search = new URLSearchParams({ account: event.target.value });
    });
  }

  askName() {
    byId("naming").showModal();
  }

  async addPhone(name) {
    const user = await post("/_sim/users", { name });
    await this.poll();
    const phone = this.phones.find((each) => each.owner.id === user.id);
    if (phone) this.show(phone);
  }

  togglePanel(open) {
    document.body.classList.toggle("panel-closed", !open);
    byId("toggle-panel").setAttribute("aria-expanded", String(open));
    localStorage.setItem(PANEL_CLOSED, open ? "no" : "yes");
  }

  drawHeader() {
    const { accounts, account } = this.world;
    const key = JSON.stringify([accounts, account?.app_id]);
    if (key === this.headerKey) return;
    this.headerKey = key;
    byId("account-name").textContent = account ? account.name : "还没有公众号";
    byId("account-name").hidden = accounts.length > 1;
    document.querySelector(".account-choice").hidden = accounts.length < 2;
    fill(byId("account"), accounts.map((each) => h("option", { value: each.app_id, selected: each.app_id === account?.app_id }, each.name)));
  }

  // ---- one phone at a time on a narrow screen -------------------------------------------

  watchTabs() {
    this.tabWatcher = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) this.markCurrent(entry.target);
    }, { root: this.desk, threshold: 0.6 });
    this.tabWatcher.observe(byId("panel"));
  }

  markCurrent(element) {
    this.current = this.phones.find((phone) => phone.element === element) ?? null;
    this.currentElement = element;
    if (this.current) this.current.unread = false;
    this.drawTabs();
  }

  show(phone) {
    phone.element.scrollIntoView({ behavior: "smooth", block: "nearest", inline: "nearest" });
  }

  drawTabs() {
    const narrow = this.currentElement ?? this.phones[0]?.element;
    const key = JSON.stringify([this.phones.map((phone) => [phone.owner.name, Boolean(phone.unread)]), narrow?.id]);
    if (key === this.tabsKey) return;
    this.tabsKey = key;
    const tab = (target, label, face, unread) => h("button", {
      type: "button", role: "tab", "aria-selected": String(target === narrow), "aria-controls": target.id,
      onclick: () => target.scrollIntoView({ behavior: "smooth", block: "nearest", inline: "start" }),
    }, face, label, unread && h("span", { class: "unread" }, h("span", { class: "sr-only" }, "有新消息")));
    const focused = document.activeElement?.closest("#tabs") ? document.activeElement.getAttribute("aria-controls") : null;
    fill(byId("tabs"),
      this.phones.map((phone) => tab(phone.element, phone.owner.name, avatar(phone.owner.name, "tiny"), phone.unread)),
      tab(byId("panel"), "日志", null, false));
    if (focused) byId("tabs").querySelector(`[aria-controls="${CSS.escape(focused)}"]`)?.focus();
  }

  // ---- web pages in phones --------------------------------------------------------------

  pageAddress(phone, url) {
    return `/_sim/open?${new URLSearchParams({ user: phone.owner.id, url })}`;
  }

  // A page that is open in a phone asks something of the phone, through /_sim/bridge.js.
  async answerPage({ source, origin, data }) {
    const phone = this.phones.find((each) => each.sheet?.querySelector("iframe")?.contentWindow === source);
    if (!phone || data?.simulator !== "ask") return;
    const result = await answer(phone, data);
    source.postMessage({ simulator: "answer", id: data.id, result }, origin);
  }

  webPageOpened(opener) {
    for (const phone of this.phones) {
      const url = phone.sheet?.querySelector("iframe") && phone.sheet.dataset.url;
      if (phone !== opener && url) phone.open(sleepingPage(phone, url));
    }
    opener.sheet.querySelector("button").focus({ preventScroll: true });
  }
}

new App();
