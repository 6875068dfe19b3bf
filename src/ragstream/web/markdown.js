/**
 * Model output as elements: text and safe formatting, nothing else.
 *
 * Every node is built by name and filled through textContent; there is no markup, no image, and no address
 * but those of links, which a reader sees and may follow. At each paint the whole text is read anew, never the
 * piece that came last, so what a text means cannot be split over events. Blocks that read as before keep
 * their elements, so that a selection in them lasts.
 */

import { blocks } from "./blocks.js";
import { el } from "./dom.js";
import { MARK, inline, withoutMarks } from "./inline.js";

export class Prose {
  #element;
  #drawMark;
  #marks = [];
  #growing = false; // whether the block being drawn may go on
  #drawn = []; // {state, element} of each block

  /**
   * @param {Element} element where the text is shown
   * @param {(mark: object) => Node} drawMark builds what stands for a citation
   */
  constructor(element, drawMark) {
    this.#element = element;
    this.#drawMark = drawMark;
  }

  /** Show a text and its citations, {start, end, marker, …} in order; more may come while it is `growing`. */
  show(text, marks, growing) {
    this.#marks = marks;
    const found = blocks(marked(text, marks));
    for (const [place, block] of found.entries()) {
      this.#growing = growing && place === found.length - 1;
      this.#draw(place, block);
    }
    for (const { element } of this.#drawn.splice(found.length)) element.remove();
  }

  #draw(place, block) {
    const old = this.#drawn[place];
    const state = `${this.#growing} ${block.source}`;
    if (old?.state === state) return;
    const element = this.#block(block);
    if (old) old.element.replaceWith(element);
    else this.#element.append(element);
    this.#drawn[place] = { state, element };
  }

  #block(block) {
    switch (block.type) {
      case "heading":
        return el(`h${Math.min(block.level + 2, 6)}`, {}, ...this.#inline(block.text));
      case "code":
        return el("pre", { tabIndex: 0 }, el("code", {}, this.#plain(block.text)));
      case "quote":
        return el("blockquote", {}, ...block.children.map((child) => this.#block(child)));
      case "list":
        return this.#list(block);
      case "table":
        return this.#table(block);
      case "rule":
        return el("hr");
      default:
        return el("p", {}, ...this.#inline(block.text));
    }
  }

  #list({ ordered, start, loose, items }) {
    const list = el(ordered ? "ol" : "ul", ordered ? { start } : {});
    for (const item of items) list.append(el("li", {}, ...item.flatMap((block) => this.#inItem(block, loose))));
    return list;
  }

  #inItem(block, loose) {
    return block.type === "paragraph" && !loose ? this.#inline(block.text) : [this.#block(block)];
  }

  #table({ head, align, rows }) {
    const row = (cells, name) =>
      el("tr", {}, ...cells.map((cell, column) => el(name, { "data-align": align[column] }, ...this.#inline(cell))));
    const body = rows.map((cells) => row(cells, "td"));
    const table = el("table", {}, el("thead", {}, row(head, "th")), el("tbody", {}, ...body));
    return el("div", { class: "table", tabIndex: 0 }, table);
  }

  #inline(text) {
    return inline(text, this.#growing).map((node) => this.#node(node, false));
  }

  #node(node, inLink) {
    if (typeof node === "string") return document.createTextNode(node);
    const children = () => node.children.map((child) => this.#node(child, inLink || node.type === "link"));
    switch (node.type) {
      case "code":
        return el("code", {}, this.#plain(node.text));
      case "break":
        return el("br");
      case "mark":
        return this.#mark(node.index, inLink);
      case "link":
        return link(node, children());
      default:
        return el({ strong: "strong", emphasis: "em", struck: "del" }[node.type], {}, ...children());
    }
  }

  #mark(index, inLink) {
    const mark = this.#marks[index];
    return inLink ? document.createTextNode(mark.marker) : this.#drawMark(mark);
  }

  /** In code a citation is what was written. */
  #plain(text) {
    const pattern = new RegExp(`${MARK.open}(\\d+)${MARK.close}`, "g");
    return text.replace(pattern, (_, index) => this.#marks[index].marker);
  }
}

/** A link says where it leads: its words could say anything. */
function link({ href, shown }, children) {
  const anchor = el("a", { href, rel: "noopener noreferrer nofollow", target: "_blank", title: href }, ...children);
  if (anchor.textContent.includes(shown)) return anchor;
  const both = document.createDocumentFragment();
  both.append(anchor, el("span", { class: "leads-to" }, ` (${shown})`));
  return both;
}

function marked(text, marks) {
  const clean = withoutMarks(text);
  let result = "";
  let at = 0;
  for (const [index, { start, end }] of marks.entries()) {
    if (start < at) continue;
    result += clean.slice(at, start) + MARK.open + index + MARK.close;
    at = end;
  }
  return result + clean.slice(at);
}
