// Print what Mermaid's own parser makes of each diagram named on the command line, as a list of JSON objects.
import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";

const dom = new JSDOM("");
globalThis.window = dom.window;
globalThis.document = dom.window.document;
const { default: mermaid } = await import("mermaid");

const drawings = [];
for (const path of process.argv.slice(2)) {
  const text = readFileSync(path, "utf8");
  await mermaid.parse(text);
  const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
  const lanes = new Map(db.getSubGraphs().flatMap((lane) => lane.nodes.map((node) => [node, lane.id])));
  drawings.push({
    shapes: [...db.getVertices().values()].map((v) => [v.id, v.type, v.text, lanes.get(v.id) ?? ""]),
    arrows: db.getEdges().map((e) => [e.start, e.end, e.text || null, e.stroke === "dotted"]),
    lanes: Object.fromEntries(db.getSubGraphs().map((lane) => [lane.id, lane.title])),
    classes: Object.fromEntries([...db.getVertices().values()].map((v) => [v.id, v.classes])),
  });
}
console.log(JSON.stringify(drawings));
