// Run AG-UI's own agent, which verifies the order of events: PACKAGE URL [[THREAD, QUESTION, STOP?], ...].
// STOP is an address to post to after the first words.
const [name, url, list] = process.argv.slice(2);
const { HttpAgent } = await import(name);

const all = [];
for (const [threadId, content, stop] of JSON.parse(list)) {
  const agent = new HttpAgent({ url, threadId });
  agent.addMessage({ id: "m1", role: "user", content });
  const seen = { types: [], custom: [] };
  const subscriber = {
    onEvent: ({ event }) => void seen.types.push(event.type),
    onTextMessageContentEvent: () => void (stop && !seen.stopped && (seen.stopped = fetch(stop, { method: "POST" }))),
    onCustomEvent: ({ event }) => void seen.custom.push([event.name, event.value]),
    onRunErrorEvent: ({ event }) => void (seen.error = { code: event.code, message: event.message }),
  };
  try {
    await agent.runAgent({}, subscriber);
  } catch (error) {
    seen.thrown = String(error);
  }
  all.push({ ...seen, text: agent.messages.filter(({ role }) => role === "assistant").map((one) => one.content).join("") });
}
console.log(JSON.stringify(all));
