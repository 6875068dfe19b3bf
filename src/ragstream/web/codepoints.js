/** Positions: the server counts code points, JavaScript counts UTF-16 code units. */

const BEYOND_BASIC = /[\ud800-\udfff]/;

/** Return the index in `text` of its code point number `position`. */
export function indexOf(text, position) {
  if (!BEYOND_BASIC.test(text)) return Math.min(position, text.length);
  let index = 0;
  for (let point = 0; point < position && index < text.length; point += 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}
