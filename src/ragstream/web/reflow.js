/**
 * Text whose lines were cut to a width, as paragraphs again: a line that was full goes on with the next one.
 *
 * Blank lines, headings, lists, quotes, tables and code stay as they are.
 */

const FULL = 50; // characters of a line that may have been cut
const FENCE = /^\s*(?:```|~~~)/;
const ALONE = /^\s*(?:#{1,6}\s|>|\||```|~~~|$)/; // never joined with its neighbours
const BEGINS = /^\s*(?:[-*+•]\s|\d{1,3}[.)]\s)/; // begins an item: not joined with what comes before
const MARKS = /[\ufdd0\ufdd1]/g;

/** Return a text with its cut lines joined. */
export function reflowed(text) {
  const joined = [];
  let code = false;
  let goesOn = false; // whether the line before was full
  for (const line of text.split(/\r\n|\r|\n/)) {
    const bare = line.replace(MARKS, "");
    if (FENCE.test(bare)) code = !code;
    const alone = code || ALONE.test(bare);
    if (goesOn && !alone && !BEGINS.test(bare)) joined[joined.length - 1] += ` ${line.trimStart()}`;
    else joined.push(line);
    goesOn = !alone && bare.length >= FULL;
  }
  return joined.join("\n");
}
