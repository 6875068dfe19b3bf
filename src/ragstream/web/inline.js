/**
 * What stands within a line of Markdown: emphasis, code, links, and the marks of citations.
 *
 * Nodes are texts or objects: {type: "strong" | "emphasis" | "struck", children}, {type: "code", text}, {type: "link",
 * href, shown, children}, {type: "break"}, {type: "mark", index}. Markup is not HTML here, an image is not an image,
 * and a destination that is not a plain web or mail address is text. What has no end is text: so a link exists
 * only once all of it has arrived.
 */

/** Around the index of a citation: noncharacters, which no text may have. */
export const MARK = { open: "\ufdd0", close: "\ufdd1" };

/** Return a text without the characters that stand around marks; its length stays. */
export function withoutMarks(text) {
  return text.replace(/[\ufdd0\ufdd1]/g, "\ufffd");
}

const SPECIAL = /[\\`*_~[\]!<\n\ufdd0]|https?:\/\//g;
const MARKED = /\ufdd0(\d+)\ufdd1/y;
const BARE = /https?:\/\/[^\s<>\ufdd0\ufdd1]+/y;
const ANGLED = /<((?:https?:\/\/|mailto:)[^\s<>\ufdd0\ufdd1]*)>/y;
const TITLE = /[ \t\n]+(?:"[^"\ufdd0]*"|'[^'\ufdd0]*'|\([^()\ufdd0]*\))/y;
const PUNCTUATION = /[\p{P}\p{S}\ufdd0\ufdd1]/u;
const SPACE = /^\s?$/; // also the ends of the text
const WORD = /[\p{L}\p{N}]/u;
const STOPS = "?!.,:;*_~'\"]"; // what ends a sentence does not belong to the address before it
const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);
const DEEPEST = 50; // what could be opened beyond this depth is text
const LONGEST = 2_000; // characters of a destination

/**
 * Return the nodes of a text. While it is `growing`, an address at its end is text: it may still become another.
 */
export function inline(text, growing = false) {
  return new Scanner(text, growing).run();
}

/** Return the address as {href, shown}, or null where it is none that a reader may follow. */
export function address(destination) {
  let url;
  try {
    url = new URL(destination);
  } catch {
    return null;
  }
  if (!PROTOCOLS.has(url.protocol) || url.username || url.password) return null;
  return { href: url.href, shown: url.protocol === "mailto:" ? url.pathname : url.host };
}

class Scanner {
  #text;
  #growing;
  #at = 0;
  #frames = [{ character: "", count: 0, children: [] }]; // what is open, the outermost first
  #lastRun = new Map(); // where the last run of so many backticks begins

  constructor(text, growing) {
    this.#text = text;
    this.#growing = growing;
    for (const run of text.matchAll(/`+/g)) this.#lastRun.set(run[0].length, run.index);
  }

  run() {
    while (this.#at < this.#text.length) {
      SPECIAL.lastIndex = this.#at;
      const next = SPECIAL.exec(this.#text)?.index ?? this.#text.length;
      this.#say(this.#text.slice(this.#at, next));
      this.#at = next;
      if (next < this.#text.length) this.#special(this.#text[next]);
    }
    while (this.#frames.length > 1) this.#giveUp();
    return this.#frames[0].children;
  }

  #special(character) {
    if (character === "\\") this.#escape();
    else if (character === "`") this.#code();
    else if (character === "\n") this.#lineBreak();
    else if (character === "[") this.#open("[", 1, 1);
    else if (character === "!") this.#image();
    else if (character === "]") this.#closeBracket();
    else if (character === "<") this.#angled();
    else if (character === "h") this.#bare();
    else if (character === MARK.open) this.#mark();
    else this.#delimiters(character);
  }

  #say(node) {
    const { children } = this.#frames.at(-1);
    if (node === "") return;
    if (typeof node === "string" && typeof children.at(-1) === "string") children.push(children.pop() + node);
    else children.push(node);
  }

  #literal(length) {
    this.#say(this.#text.slice(this.#at, this.#at + length));
    this.#at += length;
  }

  #match(pattern, at = this.#at) {
    pattern.lastIndex = at;
    return pattern.exec(this.#text);
  }

  #escape() {
    const next = this.#text[this.#at + 1] ?? "";
    if (next === "\n") {
      this.#say({ type: "break" });
      this.#at += 2;
    } else if (/[!-/:-@[-`{-~]/.test(next)) {
      this.#say(next);
      this.#at += 2;
    } else this.#literal(1);
  }

  #code() {
    const length = this.#runLength();
    let end = this.#at + length;
    if ((this.#lastRun.get(length) ?? -1) < end) return this.#literal(length);
    for (const run of this.#text.slice(end).matchAll(/`+/g)) {
      if (run[0].length !== length) continue;
      const text = this.#text.slice(end, end + run.index).replace(/\n/g, " ");
      this.#say({ type: "code", text: /^ .*[^ ].* $/.test(text) ? text.slice(1, -1) : text });
      end += run.index + length;
      break;
    }
    this.#at = end;
  }

  #lineBreak() {
    const { children } = this.#frames.at(-1);
    const before = children.at(-1);
    if (typeof before === "string" && before.endsWith("  ")) {
      children[children.length - 1] = before.trimEnd();
      this.#say({ type: "break" });
    } else this.#say("\n");
    this.#at += 1;
  }

  #mark() {
    const match = this.#match(MARKED);
    if (match) this.#say({ type: "mark", index: Number(match[1]) });
    this.#at += match ? match[0].length : 1;
  }

  #bare() {
    const before = this.#text[this.#at - 1] ?? "";
    const found = WORD.test(before) ? "" : (this.#match(BARE)?.[0] ?? "");
    const url = withoutEnding(found, found.includes("(") ? STOPS : `${STOPS})`);
    const whole = !this.#growing || this.#at + found.length < this.#text.length;
    this.#autolink(whole ? url : "", url);
  }

  #angled() {
    const match = this.#match(ANGLED);
    this.#autolink(match?.[1] ?? "", match?.[0] ?? "");
  }

  #autolink(destination, source) {
    const target = this.#within("[") ? null : address(destination);
    if (!target) return this.#literal(1);
    this.#say({ type: "link", ...target, children: [destination] });
    this.#at += source.length;
  }

  #image() {
    const opens = this.#text[this.#at + 1] === "[";
    if (opens) this.#open("![", 1, 2);
    else this.#literal(1);
  }

  #open(character, count, length) {
    if (this.#frames.length > DEEPEST) return this.#literal(length);
    this.#frames.push({ character, count, children: [] });
    this.#at += length;
  }

  #within(character) {
    return this.#frames.some((frame) => frame.character === character);
  }

  /** Close the innermost frame as what it is: its characters, and what stands in it. */
  #giveUp() {
    const { character, count, children } = this.#frames.pop();
    this.#say(character.repeat(count));
    children.forEach((child) => this.#say(child));
  }

  #closeBracket() {
    const depth = this.#frames.findLastIndex(({ character }) => character.endsWith("["));
    if (depth < 0) return this.#literal(1);
    while (this.#frames.length > depth + 1) this.#giveUp();
    const [destination, end] = this.#destination(this.#at + 1);
    if (destination === null) {
      this.#giveUp();
      return this.#literal(1);
    }
    const { character, children } = this.#frames.pop();
    const target = character === "[" && !this.#within("[") ? address(destination) : null;
    if (target) this.#say({ type: "link", ...target, children });
    else [...children, ` (${destination})`].forEach((child) => this.#say(child)); // shown, not followed
    this.#at = end;
  }

  /** Return what stands in the parentheses at a place, and where they end. */
  #destination(at) {
    const none = [null, at];
    if (this.#text[at] !== "(") return none;
    let end = at + 1;
    let open = 0;
    for (const limit = Math.min(this.#text.length, at + LONGEST); end < limit; end += 1) {
      const character = this.#text[end];
      if (/[\s<\ufdd0]/.test(character) || (character === ")" && open === 0)) break;
      open += character === "(" ? 1 : character === ")" ? -1 : 0;
    }
    const destination = this.#text.slice(at + 1, end);
    end += this.#match(TITLE, end)?.[0].length ?? 0;
    return this.#text[end] === ")" && destination ? [destination, end + 1] : none;
  }

  #runLength() {
    let end = this.#at + 1;
    while (this.#text[end] === this.#text[this.#at]) end += 1;
    return end - this.#at;
  }

  #delimiters(character) {
    const length = this.#runLength();
    const [opens, closes] = this.#flanks(character, length);
    let left = length;
    for (let used = 1; closes && left > 0 && used > 0; left -= used) used = this.#close(character, left, opens);
    this.#at += length;
    if (left === 0) return;
    if (opens && this.#frames.length <= DEEPEST && (character !== "~" || left === 2)) {
      this.#frames.push({ character, count: left, both: closes, children: [] });
    } else this.#say(character.repeat(left));
  }

  /** Close the nearest frame of a delimiter within the same brackets; return how many characters that took. */
  #close(character, left, opens) {
    const near = (frame) => frame.character === character || frame.character.endsWith("[");
    const depth = this.#frames.findLastIndex(near);
    const frame = this.#frames[depth];
    if (frame?.character !== character) return 0;
    if ((opens || frame.both) && (frame.count + left) % 3 === 0 && frame.count % 3 !== 0) return 0;
    const used = Math.min(frame.count, left, 2);
    if (character === "~" && used < 2) return 0;
    while (this.#frames.length > depth + 1) this.#giveUp();
    this.#frames.pop();
    const type = character === "~" ? "struck" : used === 2 ? "strong" : "emphasis";
    const node = { type, children: frame.children };
    if (frame.count > used) this.#frames.push({ ...frame, count: frame.count - used, children: [node] });
    else this.#say(node);
    return used;
  }

  /** Whether a run of delimiters can open and close, after CommonMark's rule of flanking. */
  #flanks(character, length) {
    const before = this.#text[this.#at - 1] ?? "";
    const after = this.#text[this.#at + length] ?? "";
    const loose = (near) => SPACE.test(near) || PUNCTUATION.test(near);
    const tight = (near, far) => !SPACE.test(near) && (!PUNCTUATION.test(near) || loose(far));
    const left = tight(after, before);
    const right = tight(before, after);
    if (character !== "_") return [left, right];
    return [left && (!right || PUNCTUATION.test(before)), right && (!left || PUNCTUATION.test(after))];
  }
}

/** Return a text without the given characters at its end. */
function withoutEnding(text, characters) {
  let end = text.length;
  while (end > 0 && characters.includes(text[end - 1])) end -= 1;
  return text.slice(0, end);
}
