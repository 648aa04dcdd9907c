// "What did my server just do?": the clock, the faults, and the log of pushes and API calls.

import { ApiError, post } from "./api.js";
import { avatar, fill, h, icon } from "./dom.js";
import { callWords, pushWords, replyWords, reportWords } from "./words.js";
import { clockSeconds, longDate } from "./text.js";

const LOG_ROWS = 200;

const MOVES = [["＋1 小时", 3600], ["＋1 天", 86400], ["＋8 天", 8 * 86400], ["＋15 天", 15 * 86400]];

const FAULTS = [
  { name: "latency_ms", label: "接口变慢（毫秒）", kind: "number", step: 100 },
  { name: "busy_rate", label: "系统繁忙 -1 的比例", kind: "number", step: 0.1, max: 1 },
  { name: "http_500_rate", label: "HTTP 500 的比例", kind: "number", step: 0.1, max: 1 },
  { name: "drop_answer_rate", label: "做完却丢失应答的比例", kind: "number", step: 0.1, max: 1 },
  { name: "rotate_token_every", label: "每几次调用换掉 token", kind: "number", step: 1 },
  { name: "duplicate_push", label: "推送重复到达（多几份）", kind: "number", step: 1 },
  { name: "reorder_push", label: "推送乱序到达（攒几条）", kind: "number", step: 1 },
];

const WAYS = { push: "微信 → 服务器", call: "服务器 → 微信", report: "商城 → 服务器" };

export class Panel {
  constructor(element, app) {
    this.element = element;
    this.app = app;
    this.filter = "all";
    this.rows = new Map();
    this.build();
  }

  build() {
    this.clock = h("p", { class: "clock-face", "aria-live": "off" });
    this.offset = h("p", { class: "clock-offset" });
    this.faults = h("div", { class: "faults" });
    this.faultCount = h("span", { class: "count", hidden: true });
    this.log = h("ol", { class: "log", "aria-label": "推送与接口调用，新的在上" });
    this.empty = h("p", { class: "log-empty" }, "还没有动静。在手机里点一下试试。");
    this.message = h("p", { class: "panel-message", role: "alert", hidden: true });
    fill(this.element,
      h("section", { class: "clock", "aria-label": "时钟" }, h("div", {}, this.clock, this.offset),
        h("div", { class: "moves" }, MOVES.map(([label, seconds]) => h("button", { type: "button", class: "mini-button", onclick: () => this.send("/_sim/clock", { advance_seconds: seconds }) }, label)))),
      h("details", { class: "fault-box" }, h("summary", {}, "故障演练", this.faultCount), this.faults),
      this.message,
      h("div", { class: "log-head" }, h("h2", {}, "服务器日志"), this.filters()),
      this.empty, this.log);
    this.buildFaults();
  }

  filters() {
    const choices = [["all", "全部"], ["push", "推送"], ["call", "接口"], ["report", "订单"]];
    return h("div", { class: "segments", role: "group", "aria-label": "筛选" }, choices.map(([value, label]) =>
      h("button", { type: "button", "aria-pressed": String(value === this.filter), onclick: (event) => {
        this.filter = value;
        for (const button of event.currentTarget.parentElement.children) button.setAttribute("aria-pressed", String(button === event.currentTarget));
        this.log.dataset.filter = value;
      } }, label)));
  }

  buildFaults() {
    this.faultInputs = new Map();
    for (const { name, label, step, max } of FAULTS) {
      const input = h("input", { type: "number", min: "0", max, step, name, inputmode: "decimal", onchange: () => this.send("/_sim/faults", { [name]: Number(input.value) }) });
      this.faultInputs.set(name, input);
      this.faults.append(h("label", {}, h("span", {}, label), input));
    }
    const off = h("button", { type: "button", class: "mini-button", onclick: () => this.send("/_sim/faults", Object.fromEntries(FAULTS.map(({ name }) => [name, 0]))) }, "全部关掉");
    this.faults.append(off);
  }

  async send(path, body) {
    this.message.hidden = true;
    try {
      await post(path, body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.message.textContent = error.message;
      this.message.hidden = false;
    }
    this.app.refresh();
  }

  draw(world) {
    this.clock.textContent = `${longDate(world.clock.now)} ${clockSeconds(world.clock.now)}`;
    this.offset.textContent = offsetWords(world.clock.offset_seconds);
    let active = 0;
    for (const [name, input] of this.faultInputs) {
      const value = Number(world.faults[name] ?? 0);
      if (value) active += 1;
      if (document.activeElement !== input) input.value = String(value);
    }
    this.faultCount.hidden = active === 0;
    this.faultCount.textContent = String(active);
  }

  addPushes(pushes) {
    for (const push of pushes) this.place(`push-${push.id}`, push, (old) => this.pushRow(push, old));
  }

  addCalls(calls) {
    for (const call of calls) this.place(`call-${call.id}`, call, (old) => this.callRow(call, old));
  }

  addReports(reports) {
    for (const report of reports) this.place(`report-${report.id}`, report, (old) => this.reportRow(report, old));
  }

  clear() {
    this.rows.clear();
    this.log.replaceChildren();
    this.empty.hidden = false;
  }

  // Newest first; a push that comes again with more deliveries keeps its place and stays open.
  place(key, record, draw) {
    this.empty.hidden = true;
    const old = this.rows.get(key);
    const text = JSON.stringify(record);
    if (old?.text === text) return;
    const row = draw(old?.element.querySelector("details").open ?? false);
    this.rows.set(key, { element: row, text });
    if (old) {
      old.element.replaceWith(row);
      return;
    }
    const later = [...this.log.children].find((element) => Number(element.dataset.id) < record.id);
    this.log.insertBefore(row, later ?? null);
    while (this.log.childElementCount > LOG_ROWS) this.drop(this.log.lastElementChild);
  }

  drop(element) {
    this.rows.delete(element.dataset.key);
    element.remove();
  }

  row({ key, id, kind, open, failed, at, who, title, note, details }) {
    return h("li", { class: `log-row ${kind} ${failed ? "failed" : ""}`, "data-id": id, "data-key": key },
      h("details", { open },
        h("summary", {},
          h("span", { class: "log-mark", title: WAYS[kind] }, icon(kind === "call" ? "out" : "in")),
          h("span", { class: "log-text" }, h("span", { class: "log-title" }, who && avatar(who, "tiny"), title), h("span", { class: "log-note" }, note)),
          h("time", {}, clockSeconds(at))),
        h("div", { class: "log-details" }, details)));
  }

  pushRow(push, open) {
    const last = push.deliveries.at(-1);
    const failed = push.reply?.type === "malformed" || (last && !(last.status >= 200 && last.status < 300));
    const state = last ? `${last.status ?? last.error ?? "无应答"} · ${Math.round(last.ms)} ms` : "等待服务器…";
    const tries = push.deliveries.length > 1 ? ` · 第 ${push.deliveries.length} 次` : "";
    return this.row({
      key: `push-${push.id}`, id: push.id, kind: "push", open, failed, at: push.at, who: this.app.nameOf(push.openid),
      title: `${this.app.nameOf(push.openid)} ${pushWords(push.fields)}`, note: `${state}${tries} · ${replyWords(push.reply, last)}`,
      details: [
        block("推送的 XML", inLines(push.xml)),
        push.reply && block("回复", JSON.stringify(push.reply, null, 2)),
        push.deliveries.map((delivery, index) => block(`第 ${index + 1} 次：${delivery.status ?? delivery.error}，${Math.round(delivery.ms)} ms`, inLines(delivery.body) || "（空）")),
      ],
    });
  }

  reportRow(report, open) {
    return this.row({
      key: `report-${report.id}`, id: report.id, kind: "report", open, failed: report.status === null || report.status >= 400, at: report.at, who: this.app.nameOf(report.openid),
      title: `${this.app.nameOf(report.openid)} ${reportWords(report)}`, note: `${report.status ?? "无应答"} · ${Math.round(report.ms)} ms · POST ${report.path}`,
      details: [block("商城上报", JSON.stringify(report.body, null, 2)), block("应答", typeof report.answer === "string" ? report.answer : JSON.stringify(report.answer, null, 2))],
    });
  }

  callRow(call, open) {
    const errcode = call.errcode ?? 0;
    const failed = call.status >= 400 || errcode !== 0;
    const receiver = this.app.nameOf(parsed(call.body)?.touser);
    return this.row({
      key: `call-${call.id}`, id: call.id, kind: "call", open, failed, at: call.at, who: receiver,
      title: `${receiver && `给 ${receiver} `}${callWords(call.path)}`, note: `${errcode ? `errcode ${errcode}` : call.status} · ${call.path}`,
      details: [
        block("请求", [`${call.method} ${call.path}${call.query ? `?${call.query}` : ""}`, pretty(call.body)].filter(Boolean).join("\n")),
        block(`应答，${Math.round(call.ms)} ms`, pretty(call.answer) || "（空）"),
      ],
    });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // not JSON: an upload, a page, or a body cut short
  }
}

function pretty(text) {
  const value = parsed(text);
  return value === null ? text : JSON.stringify(value, null, 2);
}

// One element a line, as people read XML.
function inLines(xml) {
  return xml.replace(/>(?=<(?:[A-Za-z]|\/xml>))/g, ">\n");
}

function block(label, text) {
  return h("figure", {}, h("figcaption", {}, label), h("pre", { tabindex: "0" }, text));
}

function offsetWords(seconds) {
  const total = Math.round(seconds);
  if (total === 0) return "与现实同步";
  const days = Math.floor(total / 86400);
  const hours = Math.floor((total % 86400) / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const parts = [[days, "天"], [hours, "小时"], [minutes, "分钟"]].filter(([count]) => count > 0);
  return `比现实快 ${parts.map(([count, word]) => `${count} ${word}`).join(" ") || `${total} 秒`}`;
}
