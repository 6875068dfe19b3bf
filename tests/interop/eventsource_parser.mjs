// Read a native stream with fetch and the package, coming back after each cut: URL -> [[type, data, id], ...]
import { EventSourceParserStream } from "eventsource-parser/stream";

const [url] = process.argv.slice(2);
const events = [];
let last = "";
while (events.at(-1)?.[0] !== "done") {
  try {
    const { body } = await fetch(url, { headers: last ? { "Last-Event-ID": last } : {} });
    const parsed = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
    for await (const { event, data, id } of parsed) {
      last = id ?? last;
      events.push([event ?? "message", data, last]);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // what fetch says of a line that was cut
  }
}
console.log(JSON.stringify(events));
