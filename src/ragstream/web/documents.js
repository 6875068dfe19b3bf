/** The documents: listed, added, opened, removed; and how far the server's own reading has come. */

import { el, icon, iconButton } from "./dom.js";
import { count, inWords } from "./words.js";

const FIRST_POLL = 1_000; // milliseconds; each poll waits longer than the one before
const SLOWEST_POLL = 5_000;
const READABLE = ".md,.markdown,.txt,.text,.html,.htm,.pdf";
const FILTER_FROM = 12; // documents

export class Documents {
  #api;
  #panel;
  #open;
  #changed;
  #known = null; // the server's last answer
  #uploads = []; // {name, share, failed}
  #poll = 0;
  #filter = "";
  #list = el("ul", { class: "documents" });
  #progress = el("div", { class: "ingest" });
  #picker;

  /**
   * @param {object} parts
   * @param {import("./api.js").Api} parts.api
   * @param {import("./panel.js").Panel} parts.panel
   * @param {(document: object) => void} parts.open opens a document
   * @param {(known: object) => void} parts.changed is told of each change
   */
  constructor({ api, panel, open, changed }) {
    this.#api = api;
    this.#panel = panel;
    this.#open = open;
    this.#changed = changed;
    this.#picker = el("input", { type: "file", multiple: true, accept: READABLE, hidden: true });
    this.#picker.addEventListener("change", () => {
      this.add([...this.#picker.files]);
      this.#picker.value = "";
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#known?.ingest.running) this.refresh().catch(() => {}); // the next one tells
    });
  }

  /** Ask the server what it has; while it is still reading, ask again now and then. */
  async refresh(pause = FIRST_POLL) {
    clearTimeout(this.#poll);
    this.#known = await this.#api.documents();
    this.#changed(this.#known);
    this.#draw();
    if (!this.#known.ingest.running || document.hidden) return;
    const slower = Math.min(pause * 1.5, SLOWEST_POLL);
    this.#poll = setTimeout(() => this.refresh(slower).catch(() => {}), pause); // the next refresh tells
  }

  /** Show the documents in the panel. */
  show() {
    const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the documents" });
    filter.addEventListener("input", () => {
      this.#filter = filter.value.toLowerCase();
      this.#draw();
    });
    this.#filter = "";
    const choose = el("button", { type: "button", class: "drop", onclick: () => this.#picker.click() });
    choose.append(icon("upload"), el("strong", {}, "Add documents"));
    choose.append("Choose files, or drop them anywhere on the page.");
    choose.append(el("small", {}, "Markdown, plain text, HTML or PDF"));
    const many = (this.#known?.documents.length ?? 0) >= FILTER_FROM;
    const parts = [choose, this.#picker, this.#progress, many && filter, this.#list];
    this.#panel.show("documents", { title: "Documents" }, ...parts);
    this.#draw();
    this.refresh().catch((error) => this.#say(inWords(error)));
  }

  /** Add files, one after the other. */
  async add(files) {
    const uploads = files.map((file) => ({ name: file.name, share: 0, failed: null, file }));
    this.#uploads = [...this.#uploads.filter(({ failed }) => !failed), ...uploads];
    if (this.#panel.content !== "documents") this.show();
    for (const upload of uploads) {
      this.#draw();
      try {
        await this.#api.addDocument(upload.file, (share) => {
          upload.share = share;
          this.#draw();
        });
        this.#uploads = this.#uploads.filter((other) => other !== upload);
      } catch (error) {
        upload.failed = inWords(error);
      }
    }
    await this.refresh().catch((error) => this.#say(inWords(error)));
  }

  #draw() {
    if (this.#panel.content !== "documents") return;
    const { documents = [], ingest = {}, size } = this.#known ?? {};
    const rows = this.#uploads.map(uploading);
    if (ingest.running) rows.unshift(reading(ingest));
    rows.push(...(ingest.failed ?? []).map(({ uri, reason }) => failure(uri, reason)));
    this.#progress.replaceChildren(...rows);
    const shown = documents.filter(({ title, uri }) => `${title} ${uri}`.toLowerCase().includes(this.#filter));
    this.#list.replaceChildren(...shown.map((document) => this.#item(document)));
    if (size) this.#panel.subtitle = `${count(size.documents, "document")} · ${count(size.chunks, "passage")}`;
  }

  #item(document) {
    const { title, uri } = document;
    const open = el("button", { type: "button", class: "source", onclick: () => this.#openDocument(document) });
    open.append(el("span", { class: "title" }, title), el("span", { class: "place" }, uri));
    const item = el("li", {}, open, iconButton("remove", `Remove “${title}”`, () => this.#confirm(document, item)));
    return item;
  }

  #openDocument({ id, title, uri }) {
    this.#open({ document_id: id, title, uri });
  }

  #confirm(document, item) {
    const keep = el("button", { type: "button", onclick: () => question.replaceWith(item) }, "Keep");
    const remove = el("button", { type: "button", class: "danger", onclick: () => this.#remove(document) }, "Remove");
    const question = el("li", { class: "confirm" }, el("span", {}, "Remove it from the answers?"), remove, keep);
    item.replaceWith(question);
    keep.focus();
  }

  async #remove({ id }) {
    try {
      await this.#api.deleteDocument(id);
      await this.refresh();
    } catch (error) {
      this.#draw();
      this.#say(inWords(error));
    }
  }

  #say(words) {
    this.#progress.append(el("p", { class: "failed", role: "alert" }, words));
  }
}

/** Say how far the server's reading has come. */
export function ingestInWords({ files_done, files_total, chunks }) {
  const files = files_total ? `${files_done.toLocaleString("en")} of ${count(files_total, "file")}` : "files";
  return `Reading ${files}, ${count(chunks, "passage")} so far`;
}

function reading(ingest) {
  const words = ingestInWords(ingest);
  const bar = el("progress", { max: 1, "aria-label": words });
  if (ingest.files_total) bar.value = ingest.files_done / ingest.files_total;
  return el("p", {}, words, bar);
}

function uploading({ name, share, failed }) {
  if (failed) return failure(name, failed);
  const words = share < 1 ? `Sending ${name}` : `Reading ${name}`;
  const bar = el("progress", { max: 1, "aria-label": words });
  if (share < 1) bar.value = share; // without a value it says "at work"
  return el("p", {}, words, bar);
}

function failure(name, reason) {
  return el("p", { class: "failed", role: "alert" }, el("strong", {}, name), ` ${reason}`);
}
