// What a page meets inside WeChat: `wx` (the JS-SDK), `WeixinJSBridge`, and <wx-open-subscribe>. A page loads this
// script instead of WeChat's own. Everything is asked of the phone of the simulator that the page is open in.
(() => {
  const phone = window.parent === window ? null : window.parent;
  const waiting = new Map();
  let count = 0;

  window.addEventListener("message", ({ source, data }) => {
    const then = source === phone && data?.simulator === "answer" && waiting.get(data.id);
    if (!then) return;
    waiting.delete(data.id);
    then(data.result);
  });

  // The answer of the phone: {err_msg, …}. Outside of a phone everything fails, as in a browser.
  function ask(name, values) {
    if (!phone) return Promise.resolve({ err_msg: `${name}:fail, not in a phone of the simulator` });
    return new Promise((then) => {
      count += 1;
      waiting.set(count, then);
      phone.postMessage({ simulator: "ask", id: count, name, values, url: location.href.split("#")[0] }, "*");
    });
  }

  // ---- WeixinJSBridge ----

  let configured = null; // what wx.config was given, once it was found right

  // Paying works on any page of the merchant's; everything else needs wx.config with its name.
  function allowed(name) {
    return name === "getBrandWCPayRequest" || Boolean(configured?.jsApiList?.includes(name));
  }

  async function invoke(name, values, then) {
    const result = allowed(name) ? await ask(name, values) : { err_msg: `${name}:fail, the permission value is offline verifying` };
    then?.(result);
    return result;
  }

  window.WeixinJSBridge = { invoke, call: (name) => ask(name, {}), on() {}, log() {} };
  document.addEventListener("DOMContentLoaded", () => document.dispatchEvent(new Event("WeixinJSBridgeReady")));

  // ---- wx ----

  let onReady = [];
  let onError = () => {};
  let failure = null;

  async function config(values) {
    const { err_msg } = await ask("config", values);
    if (err_msg !== "config:ok") {
      failure = { errMsg: err_msg };
      onError(failure);
      return;
    }
    configured = values;
    for (const then of onReady) then();
    onReady = [];
  }

  // A call of the SDK: options with success, cancel, fail and complete.
  function method(name, asked = name) {
    return async ({ success, cancel, fail, complete, trigger, ...values } = {}) => {
      const { err_msg, ...rest } = await invoke(asked, values);
      const result = { ...rest, errMsg: `${name}:${err_msg.split(":").slice(1).join(":")}` };
      if (err_msg.endsWith(":ok")) success?.(result);
      else if (err_msg.endsWith(":cancel")) cancel?.(result);
      else fail?.(result);
      complete?.(result);
    };
  }

  const payment = ({ timestamp, ...values }) => ({ appId: configured?.appId, timeStamp: String(timestamp), ...values });
  const known = {
    config,
    ready: (then) => (configured ? then() : onReady.push(then)),
    error: (then) => {
      onError = then;
      if (failure) then(failure);
    },
    chooseWXPay: (options) => (configured?.jsApiList?.includes("chooseWXPay")
      ? method("chooseWXPay", "getBrandWCPayRequest")(payment(options))
      : options.fail?.({ errMsg: "chooseWXPay:fail, the permission value is offline verifying" })),
    checkJsApi: ({ jsApiList, success }) => success?.({ errMsg: "checkJsApi:ok", checkResult: Object.fromEntries(jsApiList.map((name) => [name, allowed(name)])) }),
    invoke,
  };
  // What is not named above exists all the same; the phone says whether it can do it.
  window.wx = window.jWeixin = new Proxy(known, { get: (all, name) => all[name] ?? method(String(name)) });

  // ---- <wx-open-subscribe template="ID,ID"> ----

  class Subscribe extends HTMLElement {
    connectedCallback() {
      const drawn = this.querySelector("template, script[type='text/wxtag-template']");
      const root = this.attachShadow({ mode: "open" });
      if (drawn) root.innerHTML = drawn.innerHTML;
      root.addEventListener("click", () => this.ask());
    }

    async ask() {
      const templates = (this.getAttribute("template") ?? "").split(",").filter(Boolean);
      if (!configured?.openTagList?.includes("wx-open-subscribe")) {
        this.tell("error", { errMsg: "subscribe:fail, openTagList", errCode: "10002" });
        return;
      }
      const { err_msg, details } = await ask("subscribe", { templates });
      if (err_msg === "subscribe:ok") this.tell("success", { errMsg: err_msg, subscribeDetails: details });
      else this.tell("error", { errMsg: err_msg, errCode: "10003" });
    }

    tell(name, detail) {
      this.dispatchEvent(new CustomEvent(name, { detail }));
    }
  }
  customElements.define("wx-open-subscribe", Subscribe);
})();
