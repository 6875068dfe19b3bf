/** The conversations at the side: opened, renamed, deleted. */

import { el, iconButton } from "./dom.js";
import { when } from "./words.js";

const UNNAMED = "New conversation";

export class Sessions {
  #api;
  #list;
  #on;
  #sessions = [];
  #current = null;

  /**
   * @param {import("./api.js").Api} api
   * @param {HTMLElement} list
   * @param {{gone: (id: string) => void, failed: (error: Error) => void}} on
   */
  constructor(api, list, on) {
    this.#api = api;
    this.#list = list;
    this.#on = on;
  }

  /** Ask the server for the conversations and show them. */
  async refresh() {
    this.#sessions = await this.#api.sessions();
    this.#draw();
  }

  /** Mark the conversation in view. */
  set current(id) {
    this.#current = id;
    this.#draw();
  }

  #draw() {
    const items = this.#sessions.map((session) => this.#item(session));
    const none = el("li", { class: "quiet" }, "Your conversations will be listed here.");
    this.#list.replaceChildren(...(items.length ? items : [none]));
  }

  #item(session) {
    const name = session.name || UNNAMED;
    const current = session.id === this.#current;
    const link = el(
      "a",
      { href: `#${session.id}`, title: name, ...(current && { "aria-current": "page" }) },
      el("span", { class: "name" }, name),
      el("time", { dateTime: new Date(session.updated * 1000).toISOString() }, when(session.updated)),
    );
    const item = el("li", current ? { class: "current" } : {}, link);
    item.append(
      el(
        "span",
        { class: "tools" },
        iconButton("rename", `Rename “${name}”`, () => this.#rename(session, item)),
        iconButton("remove", `Delete “${name}”`, () => this.#confirm(session, item)),
      ),
    );
    return item;
  }

  #rename(session, item) {
    const input = el("input", { value: session.name, maxLength: 200, "aria-label": "Name of the conversation" });
    const form = el("form", {}, input);
    const row = el("li", {}, form);
    let left = false; // to leave is to lose the focus, which is to leave
    const leave = async () => {
      if (left) return;
      left = true;
      row.replaceWith(item);
      const name = input.value.trim();
      if (name && name !== session.name) await this.#try(() => this.#api.renameSession(session.id, name));
      this.#list.querySelector(`a[href="#${session.id}"]`)?.focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      leave();
    });
    input.addEventListener("blur", leave);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      input.value = "";
      leave();
    });
    item.replaceWith(row);
    input.select();
  }

  #confirm(session, item) {
    const keep = el("button", { type: "button", onclick: () => question.replaceWith(item) }, "Keep");
    const remove = el("button", { type: "button", class: "danger", onclick: () => this.#delete(session) }, "Delete");
    const question = el("li", { class: "confirm" }, el("span", {}, "Delete it for good?"), remove, keep);
    item.replaceWith(question);
    keep.focus();
  }

  async #delete({ id }) {
    const deleted = await this.#try(() => this.#api.deleteSession(id));
    if (deleted) this.#on.gone(id);
  }

  async #try(change) {
    try {
      await change();
      await this.refresh();
      return true;
    } catch (error) {
      this.#on.failed(error);
      this.#draw();
      return false;
    }
  }
}
