/** The page: its parts, put together. */

import { Api } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { Documents } from "./documents.js";
import { Follow } from "./follow.js";
import { Key } from "./key.js";
import { Panel } from "./panel.js";
import { Passage } from "./passage.js";
import { Ragstream } from "./ragstream.js";
import { Sessions } from "./sessions.js";
import { Welcome } from "./welcome.js";
import { icon } from "./dom.js";
import { count, inWords } from "./words.js";

const get = (id) => document.getElementById(id);
const tabs = new BroadcastChannel("ragstream"); // the other tabs of this server

const server = new Ragstream();
const key = new Key(server, get("key"));
const api = new Api(server, key);
const panel = new Panel(get("panel"));
const passage = new Passage(api, panel);
const openSource = (source, words) => passage.open(source, words);
const welcome = new Welcome(get("welcome"), {
  ask: (question) => composer.send(question),
  addDocuments: () => documents.show(),
});
const documents = new Documents({ api, panel, open: openSource, changed: showSize });
const sessions = new Sessions(api, get("sessions"), { gone: leaveDeleted, failed: say });
const follow = new Follow(get("scroller"), get("newest"));
const conversation = new Conversation({
  server,
  api,
  key,
  element: get("turns"),
  openSource,
  on: { busy, begun, ended, again: (question) => composer.send(question) },
});
const composer = new Composer(get("composer"), { ask, stop });

function ask(question, options) {
  conversation.ask(question, options);
  welcome.hidden = true;
  follow.toEnd();
}

function stop() {
  conversation.stop().catch(say);
}

function busy(isBusy) {
  composer.busy = isBusy;
  get("status").textContent = isBusy ? "The answer is being written." : "";
}

/** A question that was asked here is being answered: other tabs may read along. */
function begun(sessionId) {
  if (location.hash !== `#${sessionId}`) history.pushState(null, "", `#${sessionId}`);
  sessions.current = sessionId;
  tabs.postMessage({ sessionId });
  sessions.refresh().catch(say);
}

function ended({ ending }) {
  const whole = ending?.type === "message_complete";
  get("status").textContent = whole ? "The answer is complete." : "The answer has ended.";
  sessions.refresh().catch(say);
}

/** Show the conversation that the address names. */
async function open() {
  const sessionId = decodeURIComponent(location.hash.slice(1)) || null;
  toggleSidebar(false);
  sessions.current = sessionId;
  composer.paused = sessionId !== null; // until it is clear what a question would follow
  try {
    await conversation.open(sessionId);
  } catch (error) {
    say(error.status === 404 ? { message: "This conversation is no longer there." } : error);
  }
  composer.paused = false;
  welcome.hidden = sessionId !== null;
  if (conversation.busy) follow.toEnd();
  else get("turns").lastElementChild?.scrollIntoView();
}

function leaveDeleted(sessionId) {
  if (sessionId === conversation.sessionId) location.hash = "";
}

function showSize({ size, ingest }) {
  get("size").textContent = size.documents.toLocaleString("en");
  get("size").title = count(size.chunks, "passage");
  welcome.documents = { size, ingest };
}

/** Say what went wrong, until it is put away or the next thing is said. */
function say(error) {
  get("alert").hidden = false;
  get("alert").querySelector("span").textContent = inWords(error);
}

function toggleSidebar(isOpen) {
  document.body.classList.toggle("with-sidebar", isOpen);
  document.querySelector("[data-action=menu]").setAttribute("aria-expanded", String(isOpen));
}

const ACTIONS = {
  skip: () => composer.focus(),
  new: () => {
    location.hash = "";
    toggleSidebar(false);
    composer.focus();
  },
  documents: () => {
    toggleSidebar(false);
    documents.show();
  },
  menu: () => toggleSidebar(!document.body.classList.contains("with-sidebar")),
  "close-menu": () => toggleSidebar(false),
  "close-alert": () => (get("alert").hidden = true),
};

function listen() {
  for (const element of document.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
  document.addEventListener("click", ({ target }) => ACTIONS[target.closest("[data-action]")?.dataset.action]?.());
  document.addEventListener("keydown", escape);
  addEventListener("hashchange", open);
  addEventListener("offline", () => say({ message: "You are offline. An answer under way goes on meanwhile." }));
  addEventListener("online", () => (get("alert").hidden = true));
  listenForTabs();
  listenForFiles();
}

/** Esc undoes the nearest thing: the side, the panel, then the answer that is being written. */
function escape(event) {
  if (event.key !== "Escape" || event.defaultPrevented || get("key").open) return;
  if (document.body.classList.contains("with-sidebar")) toggleSidebar(false);
  else if (panel.isOpen) panel.close();
  else if (conversation.busy) stop();
}

/** What was asked in another tab is shown here too, unless an answer is just being read. */
function listenForTabs() {
  tabs.addEventListener("message", ({ data }) => {
    sessions.refresh().catch(say);
    if (data.sessionId === conversation.sessionId && !conversation.busy) open();
  });
}

function listenForFiles() {
  const dropped = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!dropped(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!dropped(event)) return;
    event.preventDefault();
    documents.add([...event.dataTransfer.files]);
  });
}

async function begin() {
  listen();
  if (matchMedia("(hover: hover)").matches) composer.focus(); // elsewhere a keyboard would cover the page
  await Promise.all([open(), introduce(), sessions.refresh(), documents.refresh().catch(withoutDocuments)]);
}

async function introduce() {
  const { samples, model } = await api.about();
  welcome.samples = samples;
  get("model").textContent = model === "extractive" ? "Answers quote your documents" : `Answers by ${model}`;
}

/** Where somebody else's pipeline answers there is nothing to list or to add. */
function withoutDocuments(error) {
  if (error.status !== 404) throw error;
  document.querySelector("[data-action=documents]").hidden = true;
}

begin().catch(say);
