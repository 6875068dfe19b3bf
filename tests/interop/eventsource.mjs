// Read a native stream with the package: URL TYPE... -> [[type, data, id], ...]
import { EventSource } from "eventsource";

const [url, ...types] = process.argv.slice(2);
const events = [];
const source = new EventSource(url);
for (const name of types) {
  source.addEventListener(name, ({ type, data, lastEventId }) => {
    // Unlike a browser's, it gives an event without an id of its own an empty one.
    events.push([type, data, lastEventId || events.at(-1)[2]]);
    if (type === "done") {
      source.close();
      console.log(JSON.stringify(events));
    }
  });
}
