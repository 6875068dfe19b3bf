// Read a native stream with our own client: BASE STREAM [OPTIONS] -> [[type, data, id], ...]
import { Ragstream } from "../../src/ragstream/web/ragstream.js";

const [base, stream, options = "{}"] = process.argv.slice(2);
const events = [];
for await (const { id, type, data } of new Ragstream({ base, ...JSON.parse(options) }).resume(stream, 0)) {
  events.push([type, JSON.stringify(data), String(id)]);
}
console.log(JSON.stringify(events));
