/**
 * The resume client: reads answers of a Ragstream server over fetch(), whatever happens to the connection.
 *
 *     import { Ragstream } from "./ragstream.js";
 *
 *     const ragstream = new Ragstream({ base: "http://127.0.0.1:8000/" });
 *     const answer = ragstream.ask({ messages: [{ role: "user", content: "How do I stop an answer?" }] });
 *     for await (const { id, type, data } of answer) {
 *       if (type === "text_delta") print(data.text_delta.content);
 *     }
 *
 * What it promises: every event of the answer's log, in order, once, up to its one terminal event. A
 * connection that ends, breaks or falls silent before that is made again from the last id that was read, and
 * a server that sends its readers away is asked again when it said. What cannot be mended is thrown as a
 * RagstreamError: an answer never just stops.
 *
 * It stands alone, without dependencies: copy the file. It runs in browsers and in Node.js 20.19 or later.
 */

/** The types of event that end an answer. */
export const TERMINAL = new Set(["message_complete", "failed", "cancelled", "interrupted"]);

const MIN_WAIT = 100; // milliseconds for whoever was sent away
const MAX_WAIT = 30_000; // milliseconds between two attempts, at most
const TRY_AGAIN = new Set([408, 425, 429, 500, 502, 503, 504]); // statuses that may pass

/** An error of the server (a problem detail, with its status and code) or of the connection (status 0). */
export class RagstreamError extends Error {
  /**
   * @param {string} message one line for people
   * @param {{code?: string, status?: number, retryAfter?: number, problem?: object, cause?: unknown}} more
   */
  constructor(message, { code = "error", status = 0, retryAfter = 0, problem = {}, cause } = {}) {
    super(message, { cause });
    this.name = "RagstreamError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter; // milliseconds
    this.problem = problem; // the problem detail as it came, {} where there was none
  }

  /** Read the problem detail of a response that is not ok. */
  static async of(response) {
    const text = await response.text().catch(() => "");
    let problem = {};
    try {
      problem = JSON.parse(text) ?? {};
    } catch {
      // not ours: a proxy's page, or nothing
    }
    const seconds = Number(response.headers.get("retry-after"));
    return new RagstreamError(problem.detail ?? `The server answered ${response.status}.`, {
      code: problem.code ?? "error",
      status: response.status,
      retryAfter: seconds > 0 ? seconds * 1000 : 0,
      problem,
    });
  }
}

/**
 * Server-Sent Events from bytes, as the HTML standard has them ("Interpreting an event stream"): lines end
 * with CR, LF or CRLF, one byte order mark is skipped, an event counts once its blank line has come.
 */
export class EventParser {
  #decoder = new TextDecoder(); // drops the byte order mark; bad bytes become U+FFFD
  #rest = ""; // a line that has not ended
  #afterCR = false;
  #type = "";
  #data = "";
  #id;
  #retried = false; // the block that has not ended says when to come back

  /** @type {number | null} the last `retry:` in milliseconds */
  retry = null;
  /** Whether the last block only says when to come back: the server is about to end the connection. */
  sentAway = false;

  /** @param {string} lastEventId where an earlier connection had come */
  constructor(lastEventId = "") {
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /**
   * Take the next bytes, cut anywhere; return the events that they complete.
   *
   * @param {Uint8Array} bytes
   * @returns {{id: string, type: string, data: string}[]}
   */
  push(bytes) {
    const events = [];
    for (const line of this.#lines(this.#decoder.decode(bytes, { stream: true }))) {
      if (line !== "") this.#field(line);
      else if (this.#dispatch()) events.push(this.#event());
    }
    return events;
  }

  #lines(text) {
    if (text === "") return [];
    const fresh = this.#afterCR && text[0] === "\n" ? text.slice(1) : text; // the second half of a CRLF
    this.#afterCR = text.endsWith("\r");
    const lines = (this.#rest + fresh).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    return lines;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (name === "data") this.#data += `${value}\n`;
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) {
      this.retry = Number(value);
      this.#retried = true;
    }
  }

  #dispatch() {
    this.lastEventId = this.#id; // a blank line moves the cursor even where there is no data
    this.sentAway = this.#retried && this.#data === "";
    this.#retried = false;
    if (this.#data === "") this.#type = "";
    return this.#data !== "";
  }

  #event() {
    const event = { id: this.lastEventId, type: this.#type || "message", data: this.#data.slice(0, -1) };
    this.#type = this.#data = "";
    return event;
  }
}

/** A Ragstream server. */
export class Ragstream {
  /**
   * @param {object} [options]
   * @param {string | URL} [options.base] where the server is; by default the one that this module came from
   * @param {string | null} [options.key] the API key, sent as a bearer token
   * @param {number} [options.silence] milliseconds without a byte after which a connection counts as dead; the
   *   server sends something every 10 seconds
   * @param {number} [options.attempts] failed attempts in a row after which an answer is given up
   */
  constructor({ base = new URL("../", import.meta.url), key = null, silence = 25_000, attempts = 10 } = {}) {
    this.base = new URL(base);
    this.key = key;
    this.silence = silence;
    this.attempts = attempts;
  }

  /**
   * Ask; nothing is sent before the answer is iterated.
   *
   * @param {object} question the body of POST /api/v1/chatbot/chat/stream: messages, session_id, …
   * @param {{onConnection?: (state: Connection) => void}} [options]
   */
  ask(question, options) {
    return new AnswerStream(this, { question, ...options });
  }

  /**
   * Read an answer that has begun, live or ended, beyond event number `after`.
   *
   * @param {string} streamId
   * @param {number} [after]
   * @param {{onConnection?: (state: Connection) => void}} [options]
   */
  resume(streamId, after = 0, options = {}) {
    return new AnswerStream(this, { streamId, after, ...options });
  }

  /** Stop an answer, wherever it is read; to do it twice, or after its end, changes nothing. */
  async cancel(streamId) {
    const response = await this.fetch(`api/v1/streams/${encodeURIComponent(streamId)}/cancel`, {
      method: "POST",
    });
    return response.json();
  }

  /**
   * Call the server; return the response if it is ok.
   *
   * @param {string} path relative to the base
   * @param {RequestInit} [init]
   */
  async fetch(path, init = {}) {
    const headers = { ...init.headers };
    if (this.key) headers.authorization = `Bearer ${this.key}`;
    let response;
    try {
      response = await fetch(new URL(path, this.base), { cache: "no-store", ...init, headers });
    } catch (cause) {
      throw new RagstreamError("The server cannot be reached.", { code: "unreachable", cause });
    }
    if (!response.ok) throw await RagstreamError.of(response);
    return response;
  }
}

/**
 * How the connection of an answer is doing: `{state: "open"}`, or `{state: "waiting", attempt, delay, error}` before
 * a further attempt in `delay` milliseconds.
 *
 * @typedef {{state: "open"} | {state: "waiting", attempt: number, delay: number, error: RagstreamError}} Connection
 */

/** One answer, to be iterated once: an async iterable of {id, type, data}, `data` being the event's JSON. */
class AnswerStream {
  #server;
  #question;
  #onConnection;
  #idempotencyKey = randomKey(); // a question that is sent again reads the answer that the first one began
  #connection = new AbortController();
  #retry = 2_000; // milliseconds; the server's `retry:` replaces it
  #failures = 0; // attempts in a row without an event
  #ended = false;
  #left = false;
  #wake = () => {};
  #named; // resolves with the stream's id, or with null if it has none
  #name;

  constructor(server, { question, streamId = null, after = 0, onConnection = () => {} }) {
    this.#server = server;
    this.#question = question;
    this.#onConnection = onConnection;
    this.#named = new Promise((resolve) => (this.#name = resolve));
    this.streamId = streamId;
    this.sessionId = null;
    this.cursor = after; // the number of the last event that was read
    if (streamId) this.#name(streamId);
  }

  /** Stop the answer, also if it has not begun; reading goes on up to its ending, `cancelled`. */
  async stop() {
    const streamId = await this.#named;
    if (streamId) await this.#server.cancel(streamId);
  }

  /** Stop reading, at once; the answer goes on, and can be resumed at `cursor`. */
  leave() {
    this.#left = true;
    this.#connection.abort();
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    try {
      while (!this.#left && !this.#ended) {
        const lost = yield* this.#connected();
        if (lost?.code === "sent_away") await this.#comeBack();
        else if (lost) await this.#recover(lost);
      }
    } finally {
      this.#connection.abort();
      this.#name(null);
    }
  }

  /** Read over one connection; return the error that ended it early, or throw one that cannot be mended. */
  async *#connected() {
    this.#connection = new AbortController();
    let sentAway = false;
    try {
      const response = await this.#within(this.#request());
      this.streamId = response.headers.get("x-stream-id") ?? this.streamId;
      this.sessionId = response.headers.get("x-session-id") ?? this.sessionId;
      this.#name(this.streamId);
      if (response.status === 204) this.#ended = true; // all was read
      else sentAway = yield* this.#events(response);
    } catch (error) {
      if (this.#left || this.#ended) return null;
      if (!passes(error)) throw error;
      return error;
    } finally {
      this.#connection.abort();
    }
    if (this.#ended) return null;
    return new RagstreamError("The connection ended early.", { code: sentAway ? "sent_away" : "connection_lost" });
  }

  #request() {
    const headers = { accept: "text/event-stream" };
    const signal = this.#connection.signal;
    if (this.streamId) {
      if (this.cursor) headers["last-event-id"] = String(this.cursor);
      return this.#server.fetch(`api/v1/streams/${encodeURIComponent(this.streamId)}`, { headers, signal });
    }
    headers["content-type"] = "application/json";
    headers["idempotency-key"] = this.#idempotencyKey;
    const body = JSON.stringify(this.#question);
    return this.#server.fetch("api/v1/chatbot/chat/stream", { method: "POST", headers, body, signal });
  }

  /** Read one response; return whether it ended because the server sent its readers away. */
  async *#events(response) {
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
      throw new RagstreamError("Something between here and the server answered in its place.", {
        code: "connection_lost",
      });
    }
    this.#onConnection({ state: "open" });
    const parser = new EventParser(String(this.cursor));
    const body = response.body.getReader();
    for (;;) {
      const { done, value } = await this.#within(body.read());
      if (done) return parser.sentAway;
      const events = parser.push(value);
      this.#retry = parser.retry ?? this.#retry;
      for (const event of events) {
        if (event.type === "done") return false;
        if (!this.#ended) yield this.#take(event);
      }
    }
  }

  #take({ id, type, data }) {
    this.#failures = 0;
    this.cursor = Number(id);
    this.#ended = TERMINAL.has(type);
    return { id: this.cursor, type, data: JSON.parse(data) };
  }

  /** Await a promise, but not through a silence. */
  async #within(promise) {
    let timer;
    const silence = new Promise((_, reject) => {
      const error = new RagstreamError("The connection fell silent.", { code: "connection_lost" });
      timer = setTimeout(() => reject(error), this.#server.silence);
    });
    try {
      return await Promise.race([promise, silence]);
    } finally {
      clearTimeout(timer);
      promise.catch(() => {}); // it may fail later, when nobody waits for it
    }
  }

  /** Wait before the next attempt, longer each time, never in step with others; or give up. */
  async #recover(error) {
    this.#failures += 1;
    if (this.#failures >= this.#server.attempts || error.retryAfter > MAX_WAIT) {
      if (error.status) throw error;
      const message = `The connection was lost, and ${this.#failures} attempts to make it again failed.`;
      throw new RagstreamError(message, { code: "connection_lost", cause: error });
    }
    const pause = Math.min(this.#retry * 2 ** (this.#failures - 1), MAX_WAIT);
    const delay = Math.max(pause * (1 + Math.random() / 2), error.retryAfter);
    this.#onConnection({ state: "waiting", attempt: this.#failures, delay, error });
    await this.#pause(delay);
  }

  /** Come back when the server said: that is no failure, and it told each of its readers another time. */
  async #comeBack() {
    const delay = Math.min(Math.max(this.#retry, MIN_WAIT), MAX_WAIT);
    this.#onConnection({ state: "moving", delay });
    await this.#pause(delay);
  }

  /** Wait, but no longer than until the network is there again. */
  async #pause(delay) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      globalThis.addEventListener?.("online", this.#wake, { once: true });
    });
    globalThis.removeEventListener?.("online", this.#wake);
  }
}

/** Whether another attempt may help. A problem that names its stream is the ending of an answer: it stays. */
function passes(error) {
  if (error instanceof SyntaxError) return false; // an event that is not JSON: it would come again
  if (!(error instanceof RagstreamError)) return true; // the body broke off
  return error.status === 0 || (TRY_AGAIN.has(error.status) && !error.problem.stream_id);
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
