// What needs the phone: confirming a transfer in WeChat, copying the link. Money never depends on what happens here:
// the page only shows what our server says.

const POLL_SECONDS = 3;
const POLLS = 40;

function wait(seconds) {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

async function json(url, options) {
  const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" }, ...options });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

// ---- the JS-SDK: set up with a signature over exactly what the address bar shows ----

async function configure(url, wanted) {
  const here = location.href.split("#")[0];
  const config = await json(`${url}?${new URLSearchParams({ url: here })}`);
  return new Promise((ready, failed) => {
    window.wx.ready(ready);
    window.wx.error(failed);
    window.wx.config({ debug: false, ...config, ...wanted });
  });
}

function bridge() {
  return new Promise((ready) => {
    if (window.WeixinJSBridge) ready(window.WeixinJSBridge);
    else document.addEventListener("WeixinJSBridgeReady", () => ready(window.WeixinJSBridge), { once: true });
  });
}

// ---- confirming a transfer ----

async function offerTransfer(form) {
  if (!window.wx) return;
  const words = form.dataset;
  const button = form.querySelector("#confirm");
  const hint = form.querySelector("#hint");
  await configure(words.configUrl, { jsApiList: ["requestMerchantTransfer"] });
  const phone = await bridge();
  button.hidden = false;
  hint.textContent = "";
  button.addEventListener("click", () => {
    button.disabled = true;
    hint.textContent = words.opening;
    const transfer = { mchId: words.mchId, appId: words.appId, package: words.package };
    phone.invoke("requestMerchantTransfer", transfer, async (result) => {
      button.disabled = false;
      const said = String(result.err_msg || "");
      if (said.endsWith(":ok")) {
        button.disabled = true;
        hint.textContent = words.asking;
        await follow(form); // ":ok" says only that the page was shown
      } else {
        hint.textContent = said.endsWith(":cancel") ? words.cancelled : words.failed;
      }
    });
  });
}

async function follow(form) {
  const panel = document.querySelector("[data-state-url]");
  await json(form.action, { method: "POST", body: new FormData(form) });
  for (let n = 0; n < POLLS; n += 1) {
    const state = await json(panel.dataset.stateUrl);
    document.querySelector("#said").textContent = state.text;
    if (!state.waiting) {
      location.reload();
      return;
    }
    await wait(POLL_SECONDS);
  }
}

// ---- 订阅通知: WeChat's own pop-up; what was allowed reaches our server as an event ----

async function offerSubscriptions(panel) {
  const hint = panel.querySelector("#hint");
  for (const asking of panel.querySelectorAll("wx-open-subscribe")) {
    asking.addEventListener("success", async () => {
      hint.textContent = panel.dataset.done;
      await wait(POLL_SECONDS);
      location.reload();
    });
    asking.addEventListener("error", (event) => { hint.textContent = event.detail?.errMsg || ""; });
  }
  await configure(panel.dataset.configUrl, { jsApiList: ["checkJsApi"], openTagList: ["wx-open-subscribe"] });
  hint.textContent = "";
}

// ---- copying ----

function offerCopy(button) {
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    await navigator.clipboard.writeText(field.value);
    button.textContent = button.dataset.done;
  });
}

document.querySelectorAll("[data-copy]").forEach(offerCopy);
const subscriptions = document.querySelector("#subscribe");
if (subscriptions && window.wx) offerSubscriptions(subscriptions).catch(() => {}); // the hint goes on saying where to open the page
const transferForm = document.querySelector("#transfer");
if (transferForm) offerTransfer(transferForm).catch(() => { transferForm.querySelector("#hint").textContent = transferForm.dataset.failed; });
