/** A source, opened: its document's text, with the passage marked and in view. */

import { indexOf } from "./codepoints.js";
import { el } from "./dom.js";
import { MARK, withoutMarks } from "./inline.js";
import { reflowed } from "./reflow.js";
import { inWords } from "./words.js";

const AROUND = 12_000; // characters shown on each side of the passage at first
const SHOWN = 2 * AROUND; // of a document without a passage
const FEWEST = 12; // letters that are looked for in a passage
const MOST = 120; // words

export class Passage {
  #api;
  #panel;
  #wanted = null; // the source that was asked for last

  /**
   * @param {import("./api.js").Api} api
   * @param {import("./panel.js").Panel} panel
   */
  constructor(api, panel) {
    this.#api = api;
    this.#panel = panel;
  }

  /**
   * Open a source of an answer at its passage, or a document at its beginning.
   *
   * @param {object} source
   * @param {string} [words] what the answer says; where the passage says it too, it is marked there
   */
  async open(source, words = "") {
    this.#wanted = source;
    const heading = { title: source.title, subtitle: place(source) };
    this.#panel.show("passage", heading, el("p", { class: "quiet" }, "Opening…"));
    const nodes = await this.#nodes(source, words);
    if (this.#wanted !== source || this.#panel.content !== "passage") return; // closed, or another one meanwhile
    this.#panel.fill(...nodes);
    (document.getElementById("said") ?? document.getElementById("passage"))?.scrollIntoView();
  }

  async #nodes(source, words) {
    if (!source.document_id) return quoted(source, "Only this passage is known, not its document.");
    let document;
    try {
      document = await this.#api.documentText(source.document_id);
    } catch (error) {
      const gone = error.status === 404 && "This document is no longer there. The answer had this from it:";
      return quoted(source, gone || inWords(error));
    }
    return draw(document, source, words);
  }
}

function draw(document, { start, end }, words) {
  const text = withoutMarks(document.text);
  if (start == null || end == null) return [page(reflowed(text.slice(0, SHOWN)), ...rest(text, SHOWN))];
  const from = indexOf(text, start);
  const to = indexOf(text, end);
  const begin = Math.max(0, from - AROUND);
  const shown = text.slice(begin, from) + MARK.open + text.slice(from, to) + MARK.close + text.slice(to, to + AROUND);
  const [before, passage, after] = reflowed(shown).split(new RegExp(`[${MARK.open}${MARK.close}]`));
  const marked = el("div", { id: "passage", class: "passage" }, ...said(passage.trim(), words));
  return [page(...earlier(text, begin), before.trim(), marked, after.trim(), ...rest(text, to + AROUND))];
}

/** Mark in a passage what the answer says in the same words, in its whole or at its end. */
function said(passage, words) {
  const sentences = words.split(/(?<=[.!?])\s+/);
  for (const wanted of [sentences, sentences.slice(-1)]) {
    const parts = wanted.join(" ").match(/[\p{L}\p{N}]+/gu) ?? [];
    if (parts.join("").length < FEWEST || parts.length > MOST) continue;
    const found = new RegExp(`${parts.join("[^\\p{L}\\p{N}]+")}[.!?]*`, "iu").exec(passage);
    if (!found) continue;
    const end = found.index + found[0].length;
    return [passage.slice(0, found.index), el("mark", { id: "said" }, found[0]), passage.slice(end)];
  }
  return [passage];
}

/** Say where a source's passage is. */
export function place({ uri, page: number, heading }) {
  return [uri, number && `page ${number}`, heading].filter(Boolean).join(" · ");
}

function page(...children) {
  return el("div", { class: "document-text" }, ...children);
}

function earlier(text, to) {
  return to > 0 ? [more("Show what comes before", text.slice(0, to))] : [];
}

function rest(text, from) {
  return from < text.length ? [more("Show the rest", text.slice(from))] : [];
}

function more(label, text) {
  const button = el("button", { type: "button", class: "more", onclick: () => button.replaceWith(reflowed(text)) }, label);
  return button;
}

function quoted({ quote }, why) {
  return [el("p", { class: "quiet" }, why), quote && el("blockquote", { class: "document-text" }, quote)];
}
