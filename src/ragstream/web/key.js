/** The API key: asked for once, when the server wants one, and kept until the tab is closed. */

const PLACE = "ragstream.key";

export class Key {
  #server;
  #dialog;
  #asking = null;

  /**
   * @param {import("./ragstream.js").Ragstream} server is given the key
   * @param {HTMLDialogElement} dialog asks for it
   */
  constructor(server, dialog) {
    this.#server = server;
    this.#dialog = dialog;
    server.key = sessionStorage.getItem(PLACE);
  }

  /** Call; when the server does not know who calls, ask for the key and call again. */
  async insist(call) {
    for (;;) {
      const used = this.#server.key;
      try {
        return await call();
      } catch (error) {
        if (!(await this.solves(error, used))) throw error;
      }
    }
  }

  /** Whether an error was that of a missing or wrong key, and a new one was given. */
  async solves(error, used = this.#server.key) {
    if (error.status !== 401) return false;
    if (used !== this.#server.key) return true; // another call has asked meanwhile
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return this.#asking;
  }

  #ask() {
    const input = this.#dialog.querySelector("input");
    this.#dialog.querySelector("[data-wrong]").hidden = !this.#server.key;
    input.value = "";
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    return new Promise((resolve) => {
      const closed = () => {
        const given = this.#dialog.returnValue === "given" && input.value.trim() !== "";
        if (given) this.#keep(input.value.trim());
        resolve(given);
      };
      this.#dialog.addEventListener("close", closed, { once: true });
    });
  }

  #keep(key) {
    this.#server.key = key;
    sessionStorage.setItem(PLACE, key);
  }
}
