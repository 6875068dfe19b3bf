/** Where a question is written: Enter sends it, Shift+Enter begins a new line, Esc stops the answer. */

const STEPS = "ragstream.steps";

export class Composer {
  #form;
  #input;
  #send;
  #stop;
  #steps;
  #busy = false;
  #paused = false;
  #ask;

  /**
   * @param {HTMLFormElement} form
   * @param {{ask: (question: string, options: {includeSteps: boolean}) => void, stop: () => void}} on
   */
  constructor(form, { ask, stop }) {
    this.#form = form;
    this.#ask = ask;
    this.#input = form.querySelector("textarea");
    this.#send = form.querySelector("[data-action=send]");
    this.#stop = form.querySelector("[data-action=stop]");
    this.#steps = form.querySelector("[name=steps]");
    this.#steps.checked = localStorage.getItem(STEPS) === "yes";
    this.#steps.addEventListener("change", () => localStorage.setItem(STEPS, this.#steps.checked ? "yes" : "no"));
    this.#input.addEventListener("input", () => this.#written());
    this.#input.addEventListener("keydown", (event) => this.#keyDown(event));
    this.#stop.addEventListener("click", stop);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(this.#input.value);
    });
    this.#written();
  }

  /** Send a question, unless it is empty or an answer is being written. */
  send(question) {
    if (this.#busy || this.#paused || question.trim() === "") return;
    this.#input.value = "";
    this.#written();
    this.#ask(question.trim(), { includeSteps: this.#steps.checked });
    this.#input.focus();
  }

  /** Keep what is written, but send nothing as yet. */
  set paused(paused) {
    this.#paused = paused;
  }

  focus() {
    this.#input.focus();
  }

  /** While an answer is being written its stop button takes the place of the send button. */
  set busy(busy) {
    const focused = this.#form.contains(document.activeElement);
    this.#busy = busy;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    if (focused) this.#input.focus();
  }

  #keyDown(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.send(this.#input.value);
  }

  #written() {
    this.#send.disabled = this.#input.value.trim() === "";
    this.#input.style.height = "auto";
    this.#input.style.height = `${this.#input.scrollHeight}px`;
  }
}
