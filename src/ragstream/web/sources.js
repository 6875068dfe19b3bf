/** The sources under an answer: those it cites, by number, and behind a fold those it only found. */

import { el } from "./dom.js";
import { place } from "./passage.js";
import { count } from "./words.js";

export class Sources {
  #open;
  #cited = el("ol");
  #found = el("ol");
  #summary = el("summary");
  #fold = el("details", { hidden: true }, this.#summary, this.#found);
  #title = el("h3", {}, "Sources");
  #drawn = "";

  element = el("section", { class: "sources", hidden: true }, this.#title, this.#cited, this.#fold);

  /** @param {(source: object) => void} open opens a source at its passage */
  constructor(open) {
    this.#open = open;
  }

  show(answer) {
    const { cited, uncited, ending } = answer;
    const state = JSON.stringify([cited.map(({ number, source }) => [number, source.id]), ending !== null]);
    if (state === this.#drawn) return;
    this.#drawn = state;
    this.#cited.replaceChildren(...cited.map(({ number, source }) => this.#item(source, number)));
    this.#found.replaceChildren(...uncited.map((source) => this.#item(source, "")));
    this.#summary.textContent = `${count(uncited.length, cited.length ? "more passage" : "passage")} found`;
    this.#title.hidden = this.#cited.hidden = cited.length === 0;
    this.#fold.hidden = ending === null || uncited.length === 0;
    this.element.hidden = this.#cited.hidden && this.#fold.hidden;
  }

  #item(source, number) {
    const button = el(
      "button",
      { type: "button", class: "source", onclick: () => this.#open(source) },
      number && el("span", { class: "badge" }, number),
      el("span", { class: "title" }, source.title),
      el("span", { class: "place" }, place(source)),
      el("span", { class: "quote" }, source.quote),
    );
    return el("li", {}, button);
  }
}
