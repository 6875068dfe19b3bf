// Ask with OpenAI's own package: BASE [[CALL, QUESTION], ...] -> what each gave, or the error that it threw.
import OpenAI from "openai";

const [baseURL, list] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: "unused", maxRetries: 0 });

const take = (said, { usage, choices: [choice] }) => {
  said.usage = usage ?? said.usage;
  if (!choice) return;
  const { content, reasoning_content, sources = [], annotations = [] } = choice.delta ?? choice.message;
  said.text += content ?? "";
  said.reasoning += reasoning_content ?? "";
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
  async collect(said, messages) {
    take(said, await client.chat.completions.stream({ model: "ragstream", messages }).finalChatCompletion());
  },
  async collect_response(said, [{ content }]) {
    const response = await client.responses.stream({ model: "ragstream", input: content }).finalResponse();
    said.text = response.output_text;
  },
  // In the background, so that it can be read on after a line was cut.
  async respond(said, input) {
    Object.assign(said, { numbers: [], types: [] });
    let id;
    let stream = await client.responses.create({ input: input[0].content, stream: true, background: true });
    for (;;) {
      try {
        for await (const event of stream) {
          id ??= event.response.id;
          said.numbers.push(event.sequence_number);
          said.types.push(event.type);
          if (event.type === "response.output_text.delta") said.text += event.delta;
          if (event.type === "response.reasoning_text.delta") said.reasoning += event.delta;
          if (event.type === "response.output_text.annotation.added") said.annotations.push(event.annotation);
          if (event.type === "response.failed") said.failed = event.response.error.code;
        }
        break;
      } catch (error) {
        if (error instanceof OpenAI.APIError) throw error;
        said.cuts = (said.cuts ?? 0) + 1;
        stream = await client.responses.retrieve(id, { stream: true, starting_after: said.numbers.at(-1) });
      }
    }
    const response = await client.responses.retrieve(id);
    Object.assign(said, { status: response.status, whole: response.output_text, usage: response.usage });
  },
  async stop(said, input) {
    const { id } = await client.responses.create({ input: input[0].content, background: true });
    said.status = (await client.responses.cancel(id)).status;
  },
};

const all = [];
for (const [call, content] of JSON.parse(list)) {
  const said = { text: "", reasoning: "", sources: [], annotations: [] };
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
