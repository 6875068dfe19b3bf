/** The conversation in view: its turns, the one that is being answered, and what is asked next. */

import { Answer } from "./answer.js";
import { Turn } from "./turn.js";

export class Conversation {
  sessionId = null;
  #server;
  #api;
  #key;
  #element;
  #openSource;
  #on;
  #stream = null; // the answer that is being read
  #asked = null; // the turn that was asked here and has not begun

  /**
   * @param {object} parts
   * @param {import("./ragstream.js").Ragstream} parts.server
   * @param {import("./api.js").Api} parts.api
   * @param {import("./key.js").Key} parts.key
   * @param {HTMLElement} parts.element holds the turns
   * @param {(source: object) => void} parts.openSource
   * @param {{busy: (busy: boolean) => void, begun: (sessionId: string) => void, ended: (answer: Answer) => void,
   *   again: (question: string) => void}} parts.on what others want to know
   */
  constructor({ server, api, key, element, openSource, on }) {
    this.#server = server;
    this.#api = api;
    this.#key = key;
    this.#element = element;
    this.#openSource = openSource;
    this.#on = on;
  }

  get busy() {
    return this.#stream !== null;
  }

  /** Show a conversation, or with null an empty one; an answer under way is read on from its beginning. */
  async open(sessionId) {
    this.#leave();
    this.sessionId = sessionId;
    this.#element.replaceChildren();
    if (sessionId === null) return;
    const messages = await this.#api.messages(sessionId);
    if (this.sessionId !== sessionId) return; // another one was opened meanwhile
    const turns = messages.reduce(paired, []);
    for (const { question, message } of turns) this.#recall(question, message);
  }

  /** Ask, and show the answer as it is written. */
  ask(question, { includeSteps }) {
    const turn = this.#add(question);
    const body = { messages: [{ role: "user", content: question }], include_steps: includeSteps };
    if (this.sessionId) body.session_id = this.sessionId;
    this.#asked = turn;
    this.#read(turn, (options) => this.#server.ask(body, options));
  }

  /** Stop the answer that is being written. */
  async stop() {
    await this.#stream?.stop();
  }

  #recall(question, message) {
    const turn = this.#add(question);
    if (message.status !== "streaming") return turn.show(Answer.of(message));
    this.#read(turn, (options) => this.#server.resume(message.stream_id, 0, options));
  }

  #add(question) {
    const askAgain = () => this.#on.again(question);
    const turn = new Turn(question, { openSource: this.#openSource, askAgain });
    this.#element.append(turn.element);
    return turn;
  }

  #leave() {
    this.#stream?.leave();
    this.#set(null);
  }

  #set(stream) {
    this.#stream = stream;
    this.#on.busy(stream !== null);
  }

  /** Read an answer to its end; `start` makes the stream. */
  async #read(turn, start) {
    const onConnection = ({ state }) => {
      turn.waiting(state === "waiting" ? waitingInWords() : null);
    };
    const stream = start({ onConnection });
    this.#set(stream);
    try {
      for await (const event of stream) {
        if (event.type === "message_start") this.#begin(turn, event.data.message_start.session_id);
        turn.apply(event);
      }
    } catch (error) {
      await this.#mend(turn, stream, start, error);
    }
    if (this.#stream !== stream) return; // left, or read on by another stream
    this.#set(null);
    this.#on.ended(turn.answer);
  }

  #begin(turn, sessionId) {
    this.sessionId = sessionId;
    if (this.#asked === turn) this.#on.begun(sessionId);
    this.#asked = null;
  }

  async #mend(turn, stream, start, error) {
    if (this.#stream !== stream) return;
    if (error.problem?.session_id) this.#begin(turn, error.problem.session_id);
    const { streamId, cursor } = stream;
    const again = streamId ? (options) => this.#server.resume(streamId, cursor, options) : start;
    if (await this.#key.solves(error)) return this.#read(turn, again);
    turn.broken(error, streamId && error.code === "connection_lost" ? () => this.#goOn(turn, again) : null);
  }

  #goOn(turn, start) {
    if (!this.busy) this.#read(turn, start);
  }
}

function waitingInWords() {
  const why = navigator.onLine ? "The connection was lost and is being made again." : "You are offline.";
  return `${why} The answer goes on meanwhile.`;
}

/** Pair the messages of a history: a question with its answer, which may be missing. */
function paired(turns, message) {
  const unanswered = { content: "", status: "complete" };
  if (message.role === "user") turns.push({ question: textOf(message.content), message: unanswered });
  else if (turns.length) turns.at(-1).message = message;
  return turns;
}

function textOf(content) {
  if (typeof content === "string") return content;
  return content.map((part) => part.text ?? "").filter(Boolean).join("\n");
}
