/** What the page asks of the server besides answers. A 401 asks for the key, then the call is made again. */

import { RagstreamError } from "./ragstream.js";

export class Api {
  #server;
  #key;

  /**
   * @param {import("./ragstream.js").Ragstream} server
   * @param {import("./key.js").Key} key
   */
  constructor(server, key) {
    this.#server = server;
    this.#key = key;
  }

  about() {
    return this.#json("api/v1/about");
  }

  async sessions() {
    return (await this.#json("api/v1/auth/sessions")).sessions;
  }

  renameSession(id, name) {
    const body = JSON.stringify({ name });
    const headers = { "content-type": "application/json" };
    return this.#json(`api/v1/auth/sessions/${encodeURIComponent(id)}`, { method: "PATCH", headers, body });
  }

  deleteSession(id) {
    return this.#call(`api/v1/auth/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  async messages(sessionId) {
    return (await this.#json(`api/v1/chatbot/messages?session_id=${encodeURIComponent(sessionId)}`)).messages;
  }

  documents() {
    return this.#json("api/v1/documents");
  }

  documentText(id) {
    return this.#json(`api/v1/documents/${encodeURIComponent(id)}/text`);
  }

  deleteDocument(id) {
    return this.#call(`api/v1/documents/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /** Add a file; `onProgress` is called with the share that was sent, 0 to 1. */
  addDocument(file, onProgress) {
    return this.#key.insist(() => this.#send(file, onProgress));
  }

  /** fetch() cannot tell how much was sent; this can. */
  #send(file, onProgress) {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file);
    request.open("POST", new URL("api/v1/documents", this.#server.base));
    if (this.#server.key) request.setRequestHeader("authorization", `Bearer ${this.#server.key}`);
    request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(total ? loaded / total : 0));
    return new Promise((resolve, reject) => {
      const unreachable = () => reject(new RagstreamError("The server cannot be reached.", { code: "unreachable" }));
      request.addEventListener("error", unreachable);
      request.addEventListener("load", async () => {
        if (request.status === 201) return resolve(JSON.parse(request.responseText));
        const response = { status: request.status, headers: new Headers(), text: async () => request.responseText };
        return reject(await RagstreamError.of(response));
      });
      request.send(form);
    });
  }

  #call(path, init) {
    return this.#key.insist(() => this.#server.fetch(path, init));
  }

  async #json(path, init) {
    return (await this.#call(path, init)).json();
  }
}
