// "What did my server just do?": the clock, the faults, and the log of pushes and API calls.

import { ApiError, get, post } from "./api.js";
import { avatar, fill, h, icon } from "./dom.js";
import { callWords, pushWords, replyWords, reportWords } from "./words.js";
import { clockSeconds, longDate } from "./text.js";

const LOG_ROWS = 200;

const MOVES = [["＋1 分钟", 60], ["＋1 小时", 3600], ["＋1 天", 86400], ["＋8 天", 8 * 86400], ["＋15 天", 15 * 86400]];

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
        h("div", { class: "moves" }, MOVES.map(([label, seconds]) => h("button", { type: "button", class: "mini-button", onclick: () => this.send("/_sim/clock", { advance_seconds: seconds }) }, label)),
          h("button", { type: "button", class: "mini-button", title: "时钟回到现实的时间", onclick: () => this.send("/_sim/clock", { offset_seconds: 0 }) }, "回到现在"))),
      h("details", { class: "fault-box" }, h("summary", {}, "故障演练", this.faultCount), this.faults),
      this.message,
      h("div", { class: "log-head" }, h("h2", {}, "服务器日志"), h("a", { class: "text-link", href: "/_sim/trace", target: "_blank" }, "全部记录"), this.filters()),
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

  // What can go wrong, and how it is called, comes from the server (/_sim/faults/list).
  async buildFaults() {
    this.faultInputs = new Map();
    const { faults } = await get("/_sim/faults/list");
    const groups = Map.groupBy ? Map.groupBy(faults, (each) => each.group) : grouped(faults);
    for (const [group, members] of groups) {
      this.faults.append(h("details", { class: "fault-group" }, h("summary", {}, group), members.map((each) => this.faultRow(each))));
    }
    this.faults.append(h("div", { class: "fault-acts" },
      h("button", { type: "button", class: "mini-button", onclick: () => this.send("/_sim/faults", { off: true }) }, "全部关掉"),
      h("button", { type: "button", class: "mini-button", onclick: () => this.send("/_sim/faults", { rotate_token: true }) }, "立刻换掉所有 token")));
    this.app.refresh();
  }

  faultRow(fault) {
    const set = (value) => this.send("/_sim/faults", { [fault.name]: value });
    const input = faultInput(fault, set, (words) => this.complain(words));
    this.faultInputs.set(fault.name, { fault, input });
    return h("label", { title: fault.name }, h("span", {}, fault.label), input);
  }

  complain(words) {
    this.message.textContent = words;
    this.message.hidden = false;
  }

  async send(path, body) {
    this.message.hidden = true;
    try {
      await post(path, body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.complain(error.message);
    }
    this.app.refresh();
  }

  draw(world) {
    this.clock.textContent = `${longDate(world.clock.now)} ${clockSeconds(world.clock.now)}`;
    this.offset.textContent = offsetWords(world.clock.offset_seconds);
    let active = 0;
    for (const { fault, input } of this.faultInputs.values()) {
      const value = world.faults[fault.name];
      const changed = JSON.stringify(value) !== JSON.stringify(fault.default);
      if (changed) active += 1;
      input.closest("label").classList.toggle("active", changed);
      if (document.activeElement !== input) showFault(input, fault, value);
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

function grouped(faults) {
  const groups = new Map();
  for (const each of faults) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return groups;
}

// The fitting input of a fault; `set` is called with a value, `complain` with words about a mistake.
function faultInput({ name, kind, choices }, set, complain) {
  switch (kind) {
    case "switch": {
      const box = h("input", { type: "checkbox", name, onchange: () => set(box.checked) });
      return box;
    }
    case "choice": {
      const list = h("select", { name, onchange: () => set(choices[list.selectedIndex]) }, choices.map((each) => h("option", {}, each === "" ? "—" : each)));
      return list;
    }
    case "rate":
    case "number": {
      const field = h("input", { type: "number", name, step: kind === "rate" ? 0.1 : 1, min: kind === "rate" ? 0 : null, max: kind === "rate" ? 1 : null, inputmode: "decimal", onchange: () => set(field.value === "" ? null : Number(field.value)) });
      return field;
    }
    case "text": {
      const field = h("input", { type: "text", name, onchange: () => set(field.value) });
      return field;
    }
    default: {
      const field = h("input", { type: "text", name, class: "json", spellcheck: "false", onchange: () => {
        const value = parsed(field.value);
        if (value === null) complain(`${name} 要写成 JSON`);
        else set(value);
      } });
      return field;
    }
  }
}

function showFault(input, { kind, choices }, value) {
  if (kind === "switch") input.checked = value;
  else if (kind === "choice") input.selectedIndex = choices.indexOf(value);
  else if (kind === "json") input.value = JSON.stringify(value);
  else input.value = value === null ? "" : String(value);
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
