/**
 * The blocks of a Markdown text: paragraphs, headings, lists, quotes, code, tables, rules.
 *
 * A block depends on its own lines alone (there are no reference definitions), so a block whose lines are
 * unchanged need not be drawn again. Each takes time in proportion to its length, nesting is bounded, and what
 * is not understood is a paragraph.
 */

const DEEPEST = 10;
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( {1,4}(?! )| +|\t|$)/;
const NESTED = /^(?: {2,}|\t)/;
const DELIMITERS = /^[ \t|:-]+$/;

/** Return the blocks of a text, each with its `source`. */
export function blocks(text) {
  return parse(text.split(/\r\n|\r|\n/), 0);
}

function parse(lines, depth) {
  const found = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const [block, end] = read(lines, at, depth);
    block.source = lines.slice(at, end).join("\n");
    found.push(block);
    at = end;
  }
  return found;
}

/** Return the block that begins at a line, and the line after it. */
function read(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return readCode(lines, at);
  if (HEADING.test(line)) return [readHeading(line), at + 1];
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (depth < DEEPEST && QUOTE.test(line)) return readQuote(lines, at, depth);
  if (depth < DEEPEST && ITEM.test(line)) return readList(lines, at, depth);
  if (isTable(lines, at)) return readTable(lines, at);
  return readParagraph(lines, at);
}

function readCode(lines, at) {
  const [, fence, info] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !closes(lines[end], fence)) end += 1;
  const block = { type: "code", language: info.trim().split(/\s/)[0], text: lines.slice(at + 1, end).join("\n") };
  return [block, Math.min(end + 1, lines.length)]; // one that is not closed yet goes to the end
}

function closes(line, fence) {
  const run = line.trim();
  return run.length >= fence.length && run === fence[0].repeat(run.length);
}

function readHeading(line) {
  const [, marks, rest = ""] = HEADING.exec(line);
  const text = rest.trimEnd();
  let end = text.length;
  while (text[end - 1] === "#") end -= 1; // closing marks, if they stand apart
  const closed = end === 0 || text[end - 1] === " ";
  return { type: "heading", level: marks.length, text: closed ? text.slice(0, end).trim() : text };
}

function readQuote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [{ type: "quote", children: parse(inner, depth + 1) }, end];
}

function readList(lines, at, depth) {
  const ordered = isOrdered(lines[at]);
  const items = [];
  let end = at;
  let loose = false;
  while (end < lines.length && ITEM.test(lines[end]) && !RULE.test(lines[end]) && isOrdered(lines[end]) === ordered) {
    const [item, next] = itemLines(lines, end);
    loose ||= items.length > 0 && isBlank(lines[end - 1]);
    items.push(parse(item, depth + 1));
    end = next;
  }
  while (isBlank(lines[end - 1])) end -= 1;
  return [{ type: "list", ordered, start: ordered ? parseInt(lines[at].trim(), 10) : 1, loose, items }, end];
}

/** Return the lines of an item without its marker and indentation, and the line after it. */
function itemLines(lines, at) {
  const marker = ITEM.exec(lines[at])[0];
  const inner = [lines[at].slice(marker.length)];
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    if (NESTED.test(line)) inner.push(dedent(line, marker.length));
    else if (isBlank(line)) inner.push("");
    else if (isBlank(lines[end - 1]) || ITEM.test(line) || interrupts(line)) break;
    else inner.push(line); // a paragraph that goes on without indentation
  }
  return [inner, end];
}

/** Models indent nested lists by two spaces under any marker: what is indented at all belongs to the item. */
function dedent(line, width) {
  const spaces = line.replace(/^\t/, "    ");
  return spaces.slice(Math.min(width, spaces.length - spaces.trimStart().length));
}

function isTable(lines, at) {
  const next = lines[at + 1] ?? "";
  if (!lines[at].includes("|") || !next.includes("|") || !DELIMITERS.test(next)) return false;
  return cells(lines[at]).length === cells(next).filter((cell) => cell.includes("-")).length;
}

function readTable(lines, at) {
  const head = cells(lines[at]);
  const align = cells(lines[at + 1]).map((cell) => {
    if (cell.endsWith(":")) return cell.startsWith(":") ? "center" : "end";
    return "start";
  });
  let end = at + 2;
  while (end < lines.length && !isBlank(lines[end]) && !interrupts(lines[end])) end += 1;
  const rows = lines.slice(at + 2, end).map((line) => {
    const row = cells(line);
    return head.map((_, column) => row[column] ?? "");
  });
  return [{ type: "table", head, align, rows }, end];
}

/** Split a row at its bars, but not at `\|` or between backticks. */
function cells(line) {
  const row = line.trim().replace(/^\|/, "").replace(/([^\\])\|$/, "$1");
  const found = [""];
  let code = false;
  for (let at = 0; at < row.length; at += 1) {
    const character = row[at];
    if (character === "`") code = !code;
    if (character === "|" && !code) found.push("");
    else if (character === "\\" && row[at + 1] === "|") found[found.length - 1] += row[(at += 1)];
    else found[found.length - 1] += character;
  }
  return found.map((cell) => cell.trim());
}

function readParagraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !interrupts(lines[end]) && !isTable(lines, end)) end += 1;
  const text = lines.slice(at, end).map((line) => line.trimStart()).join("\n").trimEnd();
  return [{ type: "paragraph", text }, end];
}

function interrupts(line) {
  if (FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  return item !== null && line.length > item[0].length && (!isOrdered(line) || parseInt(item[2], 10) === 1);
}

function isOrdered(line) {
  return /^ {0,3}\d/.test(line);
}

function isBlank(line) {
  return line.trim() === "";
}
