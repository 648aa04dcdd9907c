// The newcomer's line of steps. Steps and whether they are done come from the server (/_sim/guide).

import { fill, h, icon } from "./dom.js";

const DISMISSED = "simulator.guide.dismissed";

export class Guide {
  constructor(element) {
    this.element = element;
    this.shown = "";
  }

  draw(guide) {
    const steps = guide?.steps ?? [];
    const text = JSON.stringify(steps);
    const words = JSON.stringify(steps.map((step) => step.text));
    this.element.hidden = steps.length === 0 || localStorage.getItem(DISMISSED) === words;
    if (text === this.shown) return;
    this.shown = text;
    const next = steps.findIndex((step) => !step.done);
    fill(this.element,
      h("ol", {}, steps.map((step, index) => h("li", { class: step.done ? "done" : index === next ? "next" : "", "aria-current": index === next ? "step" : undefined },
        h("span", { class: "step-mark", "aria-hidden": "true" }, step.done ? icon("check") : index + 1),
        h("span", {}, step.text), step.done && h("span", { class: "sr-only" }, "（已完成）")))),
      h("button", { type: "button", class: "bar-button", "aria-label": "收起引导", title: "收起引导", onclick: () => {
        localStorage.setItem(DISMISSED, words);
        this.element.hidden = true;
      } }, icon("close")));
    this.element.querySelector(".next")?.scrollIntoView({ block: "nearest", inline: "center" });
  }
}
