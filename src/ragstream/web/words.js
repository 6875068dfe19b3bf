/** What went wrong, in plain words. */

const MEANINGS = {
  unreachable: "The server cannot be reached. Check that it is running, then try again.",
  connection_lost: "The connection was lost. The answer goes on without you; you can go on reading.",
  unauthorized: "This server asks for a key.",
  cursor_expired: "This answer is no longer kept. Ask again.",
  body_too_large: "That is too large for this server.",
  too_many_requests: "That was too much at once. Wait a moment, then try again.",
  owner_answers_limit: "You have as many answers under way as you may. Wait for one, or stop one.",
  server_answers_limit: "The server is busy. Wait a moment, then try again.",
  server_readers_limit: "The server is busy. Wait a moment, then try again.",
  stream_readers_limit: "This answer is open in too many places. Close one, then try again.",
  upstream_auth: "The model provider refused the server's key. Whoever runs this server has to set another one.",
  upstream_unreachable: "The model provider cannot be reached.",
  upstream_rate_limited: "The model provider is busy. Wait a moment, then ask again.",
  upstream_unavailable: "The model provider is not available at the moment.",
  upstream_connect_timeout: "The model provider did not answer in time.",
  upstream_first_token_timeout: "The model provider did not begin in time.",
  upstream_timeout: "The model provider fell silent in the middle of the answer.",
  upstream_total_timeout: "The answer took too long.",
  upstream_truncated: "The model provider broke off in the middle of the answer.",
  deadline_exceeded: "The answer took too long.",
  retrieval_failed: "The documents could not be searched.",
  storage_full: "The server's disk is full.",
  internal: "Something failed inside the server.",
};

/** Say what an error means: ours where the code is known, else the server's own line. */
export function inWords({ code, message }) {
  return MEANINGS[code] ?? message;
}

/** Say how an answer ended, where it did not simply end: {text, again}, or null. */
export function endingInWords({ type, finish_reason, error }) {
  if (type === "failed") return { text: error ? inWords(error) : "The answer failed.", again: true };
  if (type === "cancelled") return { text: "Stopped. What was said is kept.", again: true };
  if (type === "interrupted") {
    return { text: "The server stopped in the middle of this answer. What was said is kept.", again: true };
  }
  if (finish_reason === "length") return { text: "The answer reached its longest length.", again: false };
  if (finish_reason === "content_filter") {
    return { text: "The model provider's filter ended this answer.", again: false };
  }
  return null;
}

/** Say a number of things: "1 document", "1,204 passages". */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** Say when: "2:05 PM" today, else "3 Nov", and the year where it is another one. */
export function when(seconds) {
  const date = new Date(seconds * 1000);
  const now = new Date();
  if (date.toDateString() === now.toDateString()) {
    return date.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  }
  const year = date.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString([], { day: "numeric", month: "short", year });
}

/** Say how long: "<0.1 ms", "0.4 ms", "12 ms", "1.3 s". */
export function duration(milliseconds) {
  if (milliseconds < 0.1) return "<0.1 ms";
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}
