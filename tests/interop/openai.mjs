// Ask with OpenAI's own package: BASE [[CALL, QUESTION], ...] -> what each gave, or the error that it threw.
import OpenAI from "openai";

const [baseURL, list] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: "unused", maxRetries: 0 });

const take = (said, { usage, choices: [choice] }) => {
  said.usage = usage ?? said.usage;
  if (!choice) return;
  const { content, sources = [], annotations = [] } = choice.delta ?? choice.message;
  said.text += content ?? "";
  said.sources.push(...sources);
  said.annotations.push(...annotations);
  said.finish_reason = choice.finish_reason ?? said.finish_reason;
};

const calls = {
  async whole(said, messages) {
    take(said, await client.chat.completions.create({ model: "ragstream", messages }));
  },
  async stream(said, messages) {
    const options = { model: "ragstream", messages, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create(options)) take(said, chunk);
  },
};

const all = [];
for (const [call, content] of JSON.parse(list)) {
  const said = { text: "", sources: [], annotations: [] };
  try {
    await calls[call](said, [{ role: "user", content }]);
  } catch (error) {
    said.error = error instanceof OpenAI.APIError
      ? { code: error.code ?? null, message: error.message, status: error.status ?? null }
      : { bug: String(error) };
  }
  all.push(said);
}
console.log(JSON.stringify(all));
