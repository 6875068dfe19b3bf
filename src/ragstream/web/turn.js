/** A question and its answer on the page. */

import { Answer } from "./answer.js";
import { el, icon } from "./dom.js";
import { Prose } from "./markdown.js";
import { Sources } from "./sources.js";
import { Steps } from "./steps.js";
import { count, endingInWords, inWords } from "./words.js";

export class Turn {
  answer = new Answer();
  #prose;
  #sources;
  #steps = new Steps();
  #text = el("div", { class: "prose" });
  #state = el("p", { class: "state" });
  #reasoning = el("p");
  #thoughts = el("details", { class: "reasoning", hidden: true }, el("summary", {}, "Thoughts"), this.#reasoning);
  #notice = el("div", { class: "notice", hidden: true });
  #actions = el("div", { class: "actions", hidden: true });
  #body = el("div", { class: "answer", "aria-live": "polite", "aria-busy": "true" });
  #frame = 0;
  #askAgain;

  /**
   * @param {string} question
   * @param {{openSource: (source: object, words?: string) => void, askAgain: () => void}} actions `words` are those
   *   of the answer that rest on the source
   */
  constructor(question, { openSource, askAgain }) {
    this.question = question;
    this.#askAgain = askAgain;
    this.#prose = new Prose(this.#text, (mark) =>
      citation(mark, () => openSource(mark.source, this.answer.wordsBefore(mark))),
    );
    this.#sources = new Sources(openSource);
    this.#body.append(this.#state, this.#thoughts, this.#text, this.#notice);
    const asked = el("div", { class: "question" }, el("h2", { class: "unseen" }, "Question"), el("p", {}, question));
    const title = el("h2", { class: "unseen" }, "Answer");
    const more = [this.#sources.element, this.#steps.element, this.#actions];
    this.element = el("article", { class: "turn" }, asked, title, this.#body, ...more);
    this.#actions.append(copyButton(() => this.#asCopied()));
    this.#draw();
  }

  /** Take an event in; what changed is drawn with the next frame. */
  apply(event) {
    this.answer.apply(event);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** Show an answer as it is. */
  show(answer) {
    this.answer = answer;
    this.#draw();
  }

  /** Say that the connection is being made again, or with null that it stands. */
  waiting(words) {
    this.#say(words);
  }

  /** Say that the answer can be read no further, and offer what may help. */
  broken(error, goOn) {
    this.#say(inWords(error), goOn ? ["Go on reading", goOn] : ["Ask again", this.#askAgain]);
    this.#settle();
  }

  #draw() {
    this.#frame = 0;
    const { text, reasoning, sources, steps, ending } = this.answer;
    this.#prose.show(text, this.answer.marks, ending === null);
    this.#reasoning.textContent = reasoning;
    this.#thoughts.hidden = reasoning === "";
    this.#steps.show(steps);
    this.#sources.show(this.answer);
    this.#state.hidden = text !== "" || ending !== null;
    const found = sources.length > 0;
    this.#state.textContent = found ? `Reading ${count(sources.length, "passage")}…` : "Looking through the documents…";
    this.#body.classList.toggle("writing", ending === null);
    if (ending) this.#end(ending);
    this.element.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  }

  #end(ending) {
    const words = endingInWords(ending);
    this.#say(words?.text ?? null, words?.again ? ["Ask again", this.#askAgain] : null);
    this.#settle();
  }

  #settle() {
    this.#body.classList.remove("writing");
    this.#state.hidden = true;
    this.#actions.hidden = this.answer.text === "";
    this.#body.setAttribute("aria-busy", "false");
    this.element.dataset.ended = this.answer.ending?.type ?? "unread";
  }

  #say(words, action = null) {
    this.#notice.hidden = words === null;
    const button = action && el("button", { type: "button", onclick: action[1] }, action[0]);
    this.#notice.replaceChildren(...[words && el("span", {}, words), button].filter(Boolean));
  }

  #asCopied() {
    const list = this.answer.cited.map(({ number, source }) => `[${number}] ${source.title}, ${source.uri}`);
    return [this.answer.text, list.join("\n")].filter(Boolean).join("\n\n");
  }
}

function citation({ number, source: { title } }, onclick) {
  const label = `Source ${number}: ${title}`;
  return el("button", { type: "button", class: "citation", title, "aria-label": label, onclick }, number);
}

function copyButton(text) {
  const label = el("span", {}, "Copy");
  const button = el("button", { type: "button", class: "plain" }, icon("copy"), label);
  button.addEventListener("click", async () => {
    label.textContent = (await copy(text())) ? "Copied" : "Not copied: the browser refused";
    setTimeout(() => (label.textContent = "Copy"), 2_000);
  });
  return button;
}

/** Copy a text; where the page is not served securely, through a selection. */
async function copy(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const area = el("textarea", { class: "unseen", value: text });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
