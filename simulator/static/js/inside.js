// The phone's half of /_sim/bridge.js: what a web page asks of the phone it is open in, and what the person sees.

import { ApiError, post } from "./api.js";
import { h, yuan } from "./dom.js";

// Answers {err_msg, …} as WeChat does. `phone` offers owner, overlay(element), closeOverlay(), closeSheet(), toast().
export async function answer(phone, { name, values, url }) {
  const handler = HANDLERS[name];
  if (!handler) return { err_msg: `${name}:fail, the simulator's phones cannot do this` };
  try {
    return await handler(phone, values ?? {}, url);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { err_msg: `${RESULT_NAMES[name] ?? name}:fail, ${error.message}` };
  }
}

const RESULT_NAMES = { getBrandWCPayRequest: "get_brand_wcpay_request" };

const HANDLERS = {
  async config(phone, values, url) {
    return post("/_sim/bridge/config", { ...values, url });
  },

  async getBrandWCPayRequest(phone, values) {
    const order = await post("/_sim/bridge/order", { user: phone.owner.id, ...values });
    const agreed = await ask(phone, paySheet, order);
    if (agreed) await post("/_sim/pay", { user: phone.owner.id, ...values });
    phone.app.refresh();
    return { err_msg: `get_brand_wcpay_request:${agreed ? "ok" : "cancel"}` };
  },

  async requestMerchantTransfer(phone, values) {
    const bill = await post("/_sim/bridge/transfer", { user: phone.owner.id, ...values });
    const agreed = await ask(phone, transferSheet, bill);
    if (agreed) await post(`/_sim/transfers/${encodeURIComponent(bill.out_bill_no)}/confirm`);
    phone.app.refresh();
    return { err_msg: `requestMerchantTransfer:${agreed ? "ok" : "cancel"}` };
  },

  async subscribe(phone, { templates }) {
    const { templates: listed } = await post("/_sim/bridge/templates", { account: phone.app.world.account?.app_id, templates });
    const answers = await ask(phone, subscribeSheet, listed);
    if (!answers) return { err_msg: "subscribe:cancel" };
    for (const answer of ["accept", "reject"]) {
      const chosen = Object.keys(answers).filter((id) => answers[id] === answer);
      if (chosen.length) await post("/_sim/subscribe", { account: phone.app.world.account?.app_id, user: phone.owner.id, templates: chosen, answer, wait: false });
    }
    phone.app.refresh();
    const details = Object.fromEntries(Object.entries(answers).map(([id, status]) => [id, JSON.stringify({ status })]));
    return { err_msg: "subscribe:ok", details: JSON.stringify(details) };
  },

  async closeWindow(phone) {
    phone.closeSheet();
    return { err_msg: "closeWindow:ok" };
  },

  async hideMenuItems() {
    return { err_msg: "hideMenuItems:ok" };
  },

  async updateAppMessageShareData() {
    return { err_msg: "updateAppMessageShareData:ok" };
  },

  async updateTimelineShareData() {
    return { err_msg: "updateTimelineShareData:ok" };
  },
};

// Shows a sheet over the page and waits for what the person decides; null when it was closed.
function ask(phone, draw, given) {
  return new Promise((decided) => {
    const done = (result) => {
      decided(result);
      phone.closeOverlay();
    };
    phone.overlay(draw(given, done), () => decided(null));
  });
}

function bottomSheet(name, done, ...children) {
  return h("div", { class: "overlay", role: "dialog", "aria-modal": "true", "aria-label": name },
    h("div", { class: "shade", onclick: () => done(null) }), h("div", { class: "bottom-sheet" }, children));
}

function paySheet(order, done) {
  return bottomSheet("微信支付", done,
    h("p", { class: "sheet-head" }, "微信支付 · 模拟"),
    h("p", { class: "sheet-what" }, order.description),
    h("p", { class: "sheet-amount" }, yuan(order.total_fen)),
    h("p", { class: "sheet-row" }, h("span", {}, "付款方式"), h("span", {}, "零钱")),
    h("button", { type: "button", class: "sheet-yes", "data-focus": true, onclick: () => done(true) }, "确认支付"),
    h("button", { type: "button", class: "sheet-no", onclick: () => done(null) }, "取消"));
}

function transferSheet(bill, done) {
  return bottomSheet("确认收款", done,
    h("p", { class: "sheet-head" }, "商家转账 · 模拟"),
    h("p", { class: "sheet-what" }, bill.remark),
    h("p", { class: "sheet-amount" }, yuan(bill.amount_fen)),
    bill.perception && h("p", { class: "sheet-row" }, h("span", {}, "用途"), h("span", {}, bill.perception)),
    h("button", { type: "button", class: "sheet-yes", "data-focus": true, onclick: () => done(true) }, "确认收款"),
    h("button", { type: "button", class: "sheet-no", onclick: () => done(null) }, "以后再说"));
}

function subscribeSheet(templates, done) {
  const rows = templates.map(({ template_id, title }) => {
    const box = h("input", { type: "checkbox", checked: true });
    return [template_id, box, h("label", { class: "sheet-row" }, h("span", {}, title || template_id), box)];
  });
  const chosen = (accept) => Object.fromEntries(rows.map(([id, box]) => [id, accept && box.checked ? "accept" : "reject"]));
  return bottomSheet("订阅通知", done,
    h("p", { class: "sheet-head" }, "申请向你发送以下通知"),
    rows.map(([, , row]) => row),
    h("button", { type: "button", class: "sheet-yes", "data-focus": true, onclick: () => done(chosen(true)) }, "允许"),
    h("button", { type: "button", class: "sheet-no", onclick: () => done(chosen(false)) }, "不允许"));
}
