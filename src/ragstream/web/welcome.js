/** What an empty conversation shows: what can be asked, and what the server knows so far. */

import { el } from "./dom.js";
import { ingestInWords } from "./documents.js";

export class Welcome {
  #element;
  #samples;
  #state;
  #on;

  /**
   * @param {HTMLElement} element
   * @param {{ask: (question: string) => void, addDocuments: () => void}} on
   */
  constructor(element, on) {
    this.#element = element;
    this.#samples = element.querySelector("[data-samples]");
    this.#state = element.querySelector("[data-state]");
    this.#on = on;
  }

  set hidden(hidden) {
    this.#element.hidden = hidden;
  }

  set samples(questions) {
    const button = (question) => el("button", { type: "button", onclick: () => this.#on.ask(question) }, question);
    this.#samples.replaceChildren(...questions.map((question) => el("li", {}, button(question))));
  }

  set documents({ size, ingest }) {
    const none = size.documents === 0 && !ingest.running;
    const add = el("button", { type: "button", class: "plain", onclick: this.#on.addDocuments }, "Add documents");
    this.#state.replaceChildren(ingest.running ? ingestInWords(ingest) : "");
    if (none) this.#state.append("There are no documents yet. ", add);
    this.#samples.hidden = none;
  }
}
