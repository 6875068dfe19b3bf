// Open a page written in JSX, ask its form, and print what it shows once that has WORDS: JSX QUESTION WORDS.
import { unlinkSync, writeFileSync } from "node:fs";
import { JSDOM } from "jsdom";
import { transform } from "sucrase";

const [jsx, question, words] = process.argv.slice(2);
const { window } = new JSDOM('<div id="root"></div>', { url: "http://localhost/" });
Object.assign(globalThis, { window, document: window.document });
globalThis.navigator ??= window.navigator;

const page = new URL(`node_modules/.page-${process.pid}.mjs`, import.meta.url); // beside what it imports
writeFileSync(page, transform(jsx, { transforms: ["jsx"], jsxRuntime: "automatic", production: true }).code);
await import(page).finally(() => unlinkSync(page));

const until = async (look) => {
  for (;;) {
    const found = look();
    if (found) return found;
    await new Promise((soon) => setTimeout(soon, 10));
  }
};
const form = await until(() => document.querySelector("form"));
form.elements.question.value = question;
form.requestSubmit();
await until(() => form.textContent.includes(words));
console.log(form.textContent);
process.exit();
