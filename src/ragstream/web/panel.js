/** The panel beside the conversation (a sheet on a phone): a document at its passage, or the list of documents. */

export class Panel {
  #element;
  #title;
  #subtitle;
  #body;
  #before = null; // what had the focus
  content = null; // the name of what it shows

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.#title = element.querySelector("h2");
    this.#subtitle = element.querySelector("[data-subtitle]");
    this.#body = element.querySelector("[data-body]");
    element.querySelector("[data-action=close-panel]").addEventListener("click", () => this.close());
  }

  get isOpen() {
    return !this.#element.hidden;
  }

  /** Show something; the focus goes to its title, and back when the panel is closed. */
  show(content, { title, subtitle = "" }, ...nodes) {
    if (!this.isOpen) this.#before = document.activeElement;
    this.content = content;
    this.#title.textContent = title;
    this.subtitle = subtitle;
    this.fill(...nodes);
    this.#element.hidden = false;
    document.body.classList.add("with-panel");
    this.#title.focus({ preventScroll: true });
  }

  /** Show something else under the same title; the focus stays where it is. */
  fill(...nodes) {
    this.#body.replaceChildren(...nodes.filter(Boolean));
    this.#body.scrollTop = 0;
  }

  set subtitle(words) {
    this.#subtitle.textContent = words;
    this.#subtitle.hidden = !words;
  }

  close() {
    if (!this.isOpen) return;
    this.#element.hidden = true;
    this.content = null;
    document.body.classList.remove("with-panel");
    this.#before?.focus();
  }
}
