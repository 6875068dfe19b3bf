/** An answer as far as it was said: one reducer over its events. */

import { TERMINAL } from "./ragstream.js";
import { indexOf } from "./codepoints.js";

export class Answer {
  text = "";
  reasoning = "";
  sources = [];
  citations = []; // {source_id, start, end}, in code points of the text
  steps = [];
  ending = null; // the terminal event, once there is one

  /** Return the answer that a message of the history is. */
  static of(message) {
    const answer = new Answer();
    const { content, sources, citations, status, finish_reason, error } = message;
    answer.text = content;
    answer.sources = sources ?? [];
    answer.citations = citations ?? [];
    const type = (status ?? "complete") === "complete" ? "message_complete" : status;
    if (TERMINAL.has(type)) answer.ending = { type, finish_reason, error };
    return answer;
  }

  apply({ type, data }) {
    if (type === "text_delta") this.text += data.text_delta.content;
    else if (type === "reasoning_delta") this.reasoning += data.reasoning_delta.content;
    else if (type === "citation") this.citations.push(data.citation);
    else if (type === "sources") this.sources = data.sources ?? [];
    else if (type === "step") this.steps.push(data.step);
    else if (type === "reset") this.#replace(data.reset);
    else if (TERMINAL.has(type)) this.ending = data;
  }

  #replace({ text, sources = [], citations = [] }) {
    this.text = text;
    this.sources = sources;
    this.citations = citations;
  }

  /** The citations as spans of the text, in order: {start, end, marker, number, source}. */
  get marks() {
    return this.citations
      .map(({ source_id, start, end }) => this.#mark(source_id, indexOf(this.text, start), indexOf(this.text, end)))
      .filter((mark) => mark.source && mark.end > mark.start);
  }

  #mark(sourceId, start, end) {
    const marker = this.text.slice(start, end);
    const source = this.sources.find(({ id }) => id === sourceId);
    return { start, end, marker, number: marker.replace(/[^0-9]/g, "") || "·", source };
  }

  /** What a mark stands behind: the words of its paragraph since the mark before. */
  wordsBefore({ start }) {
    const paragraph = this.text.slice(0, start).split(/\n\s*\n/).at(-1);
    return paragraph.replace(/(?:\[\d+\]\s*)+$/, "").split(/\[\d+\]/).at(-1);
  }

  /** The sources that the text cites, each once, by number: {number, source}. */
  get cited() {
    const byId = new Map();
    for (const { number, source } of this.marks) if (!byId.has(source.id)) byId.set(source.id, { number, source });
    return [...byId.values()].sort((a, b) => Number(a.number) - Number(b.number));
  }

  /** The sources that were found but not cited. */
  get uncited() {
    const ids = new Set(this.citations.map(({ source_id }) => source_id));
    return this.sources.filter(({ id }) => !ids.has(id));
  }
}
