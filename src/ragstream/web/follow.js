/** Keeps the newest text in view, until the reader scrolls away from it. */

const NEAR = 80; // pixels from the end that still count as the end

export class Follow {
  #scroller;
  #button;
  #pinned = true;
  #last = 0;

  /**
   * @param {HTMLElement} scroller scrolls; `drawn` events bubble up to it
   * @param {HTMLButtonElement} button leads back to the newest text
   */
  constructor(scroller, button) {
    this.#scroller = scroller;
    this.#button = button;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("drawn", () => this.#drawn());
    button.addEventListener("click", () => this.toEnd());
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#pinned = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#show();
  }

  get #distance() {
    return this.#scroller.scrollHeight - this.#scroller.clientHeight - this.#scroller.scrollTop;
  }

  #scrolled() {
    const up = this.#scroller.scrollTop < this.#last;
    this.#last = this.#scroller.scrollTop;
    if (up && this.#distance > NEAR) this.#pinned = false;
    else if (this.#distance <= NEAR) this.#pinned = true;
    this.#show();
  }

  #drawn() {
    if (this.#pinned) this.toEnd();
    else this.#show();
  }

  #show() {
    this.#button.hidden = this.#distance <= NEAR;
  }
}
