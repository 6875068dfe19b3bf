/** The steps that an answer took: a small timeline, in their order, with how long each one was. */

import { el } from "./dom.js";
import { count, duration } from "./words.js";

export class Steps {
  #rows = el("ol");
  #summary = el("summary");
  #drawn = 0;

  element = el("details", { class: "steps", open: true, hidden: true }, this.#summary, this.#rows);

  show(steps) {
    if (steps.length === this.#drawn) return;
    const longest = Math.max(...steps.map(({ duration_ms }) => duration_ms));
    this.#rows.replaceChildren(...steps.map((step) => row(step, longest)));
    this.#summary.textContent = count(steps.length, "step");
    this.element.hidden = false;
    this.#drawn = steps.length;
  }
}

function row({ label, number, outcome, duration_ms }, longest) {
  const bar = el("span", { class: "bar" });
  bar.style.setProperty("--share", String(longest ? duration_ms / longest : 0));
  return el(
    "li",
    {},
    el("span", { class: "number" }, `S${String(number).padStart(3, "0")}`),
    el("span", { class: "label", title: label }, label, outcome ? el("em", {}, ` ${outcome}`) : ""),
    el("span", { class: "track", "aria-hidden": "true" }, bar),
    el("span", { class: "time" }, duration(duration_ms)),
  );
}
