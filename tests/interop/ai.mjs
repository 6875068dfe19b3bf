// Chat with Vercel's AI SDK as useChat does: PACKAGE API [[CALL, CHAT, QUESTION], ...] -> what each chat holds.
// CALL: "ask"; "again", to have the last of several questions answered anew; "back", the first of them; "resume", on a page that was opened anew; "read", from the address that stands for the question;
// "stop", by its route, after the first words.
const [name, api, list] = process.argv.slice(2);
const { AbstractChat, DefaultChatTransport } = await import(name);

class Chat extends AbstractChat {
  constructor(id, address) {
    const seen = { statuses: [], executed: [], steps: 0 };
    const noted = async (...request) => {
      const reply = await fetch(...request);
      seen.statuses.push(reply.status);
      return reply;
    };
    const state = {
      status: "ready",
      error: undefined,
      messages: [],
      pushMessage: (message) => (state.messages = state.messages.concat(message)),
      popMessage: () => (state.messages = state.messages.slice(0, -1)),
      replaceMessage: (index, message) => (state.messages = state.messages.with(index, message)),
      snapshot: structuredClone,
    };
    const prepareReconnectToStreamRequest = address && (() => ({ api: address }));
    const body = { include_steps: true };
    const transport = new DefaultChatTransport({ api, body, fetch: noted, prepareReconnectToStreamRequest });
    const onToolCall = ({ toolCall }) => void seen.executed.push(toolCall.toolName);
    const onData = ({ type }) => void (seen.steps += type === "data-step");
    super({ id, state, transport, onToolCall, onData });
    this.seen = seen;
  }
  get reply() {
    return this.messages.findLast(({ role }) => role === "assistant");
  }
}

const calls = {
  ask: (chat, text) => chat.sendMessage({ text }),
  resume: (chat) => chat.resumeStream(),
  async mend(chat, text) {
    await chat.sendMessage({ text });
    await chat.resumeStream();
  },
  async again(chat, text) {
    for (const question of text.split("\n")) await chat.sendMessage({ text: question });
    await chat.regenerate();
  },
  async back(chat, text) {
    for (const question of text.split("\n")) await chat.sendMessage({ text: question });
    await chat.regenerate({ messageId: chat.messages[1].id });
  },
  read: (chat) => chat.resumeStream(),
  async stop(chat, text) {
    const answered = chat.sendMessage({ text });
    while (!chat.reply?.parts.some((part) => part.text)) await new Promise((soon) => setTimeout(soon, 5));
    await fetch(`${api}/${chat.id}/stop`, { method: "POST" });
    await answered;
  },
};

const all = [];
for (const [call, id, question] of JSON.parse(list)) {
  const chat = new Chat(id, call === "read" ? question : undefined);
  await calls[call](chat, question);
  const { parts = [], metadata = {} } = chat.reply ?? {};
  all.push({ ...chat.seen, status: chat.status, error: chat.error?.message, parts, metadata });
}
console.log(JSON.stringify(all));
