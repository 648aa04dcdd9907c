// Everything works without this file: it follows the system's colours, shows that something is on its way, closes the
// menu with Escape, opens parts of a page in place, and reloads the progress of long work.
"use strict";

const root = document.documentElement;
if (root.dataset.theme === "auto") {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => { root.dataset.bsTheme = dark.matches ? "dark" : "light"; };
  dark.addEventListener("change", follow);
  follow();
}

document.addEventListener("DOMContentLoaded", () => {
  const body = document.body;
  document.querySelectorAll(".tabs [aria-current]").forEach((one) => {
    const row = one.parentElement;
    row.scrollLeft = one.offsetLeft - row.offsetLeft - (row.clientWidth - one.offsetWidth) / 2;
  });
  addEventListener("pageshow", () => body.removeAttribute("aria-busy"));
  document.addEventListener("submit", (event) => {
    const leaves = !event.defaultPrevented && !event.target.hasAttribute("data-download");
    if (leaves) body.setAttribute("aria-busy", "true");
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const leaves = link && !link.hasAttribute("download") && !link.target && link.origin === location.origin
      && link.pathname !== location.pathname && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (leaves) body.setAttribute("aria-busy", "true");
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (location.hash === "#menu") location.hash = "";
    document.querySelectorAll("details.verb[open]").forEach((one) => { one.open = false; });
  });

  // <details data-load="/…"> gets its content when it is opened first; without a script its link leads to a page.
  document.addEventListener("toggle", async (event) => {
    const part = event.target;
    if (!part.open || !part.dataset.load) return;
    const address = part.dataset.load;
    delete part.dataset.load;
    const place = part.querySelector("[data-place]");
    place.setAttribute("aria-busy", "true");
    try {
      place.innerHTML = await fragment(address);
    } finally {
      place.removeAttribute("aria-busy");
    }
  }, true);

  document.querySelectorAll("[data-poll]").forEach(poll);

  // <button data-copy="id"> copies what the input holds; without a script the input is there to be marked.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const input = document.getElementById(button.dataset.copy);
    input.select();
    await navigator.clipboard.writeText(input.value);
    button.textContent = button.dataset.copied;
  });
  document.querySelectorAll("form[data-live]").forEach(live);
});

// A fragment is HTML of our own, escaped by the server. Whoever was signed out meanwhile gets the whole page again.
async function fragment(address) {
  const answer = await fetch(address, { headers: { "X-Fragment": "1" } });
  if (answer.redirected || !answer.ok) {
    location.reload();
    throw new Error(`${answer.status}`);
  }
  return answer.text();
}

// <div data-poll="/…"> is replaced every two seconds until what comes asks for no more.
async function poll(part) {
  while (part && part.dataset.poll) {
    await new Promise((done) => { setTimeout(done, 2000); });
    const made = document.createElement("template");
    made.innerHTML = (await fragment(part.dataset.poll)).trim();
    const next = made.content.firstElementChild;
    part.replaceWith(next);
    part = next;
  }
  if (part && part.closest("[data-reload]")) location.reload();  // the page shows what came of it
}

// <form data-live="/…"> shows what is being written in its [data-live-place], or in the part
// that data-live-to names, half a second after the last key. Files
// stay here until the form is sent: only their names go along.
function live(form) {
  const place = document.getElementById(form.dataset.liveTo) || form.querySelector("[data-live-place]");
  let timer, asked = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, 500);
  });
  async function show() {
    const mine = ++asked, data = new FormData(form);
    for (const [name, value] of [...data]) {
      if (!(value instanceof File)) continue;
      data.delete(name);
      if (value.name) data.append("chosen", `${name}:${value.name}`);
    }
    const answer = await fetch(form.dataset.live, { method: "POST", body: data, headers: { "X-Fragment": "1" } });
    if (answer.ok && !answer.redirected && mine === asked) place.innerHTML = await answer.text();
  }
}
