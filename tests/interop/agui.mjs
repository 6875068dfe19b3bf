// Run AG-UI's own agent, which verifies the order of events: PACKAGE URL [[THREAD, QUESTION, STOP?], ...].
// STOP is an address to post to after the first words.
const [name, url, list] = process.argv.slice(2);
const { HttpAgent } = await import(name);

// A line that is cut rejects what runAgent returns, and in version 0 and 1 a promise that nobody can reach as well.
const unreachable = [];
process.on("unhandledRejection", (reason) => unreachable.push(String(reason)));

const run = async (threadId, content, stop) => {
  const agent = new HttpAgent({ url, threadId });
  agent.addMessage({ id: "m1", role: "user", content });
  const seen = { types: [], custom: [] };
  const subscriber = {
    onEvent: ({ event }) => void seen.types.push(event.type),
    onCustomEvent: ({ event }) => void seen.custom.push([event.name, event.value]),
    onRunErrorEvent: ({ event }) => void (seen.error = { code: event.code, message: event.message }),
    onTextMessageContentEvent() {
      if (stop) fetch(stop, { method: "POST" });
      stop = undefined;
    },
  };
  try {
    await agent.runAgent({ forwardedProps: { include_steps: true } }, subscriber);
  } catch (error) {
    seen.thrown = String(error);
  }
  const said = (role) => agent.messages.filter((one) => one.role === role);
  const names = Object.fromEntries(
    said("assistant").flatMap(({ toolCalls = [] }) => toolCalls).map((call) => [call.id, call.function.name]),
  );
  return {
    ...seen,
    unreachable,
    text: said("assistant").map((one) => one.content ?? "").join(""),
    reasoning: said("reasoning").map((one) => one.content).join(""),
    tools: said("tool").map((one) => [names[one.toolCallId], one.content]),
  };
};

const all = [];
for (const call of JSON.parse(list)) all.push(await run(...call));
await new Promise((soon) => setTimeout(soon));
console.log(JSON.stringify(all));
