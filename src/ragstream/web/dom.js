/** Elements: built from names, properties and children, never from markup. */

/**
 * Build an element. Properties that begin with `on` are listeners, those with a dash attributes, `class` is the
 * class, the others are set as they are. Children that are null or false are left out.
 */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

const SHAPES = {
  menu: "M4 7h16M4 12h16M4 17h10",
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  send: "M12 19V5.5M6 11.5l6-6 6 6",
  stop: "M7.5 7.5h9v9h-9z",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  rename: "M4.5 19.5l1-4.2L16 4.8l3.2 3.2L8.7 18.5z",
  remove: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7",
  document: "M6.5 3.5h7l4 4v13h-11zM13.5 3.5v4h4M9.5 12h5M9.5 15.5h5",
  light:
    "M12 8.2a3.8 3.8 0 1 0 0 7.6 3.8 3.8 0 0 0 0-7.6M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2" +
    "M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  dark: "M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7z",
  steps: "M5 6.5h.01M5 12h.01M5 17.5h.01M9.5 6.5h10M9.5 12h6.5M9.5 17.5h8.5",
  down: "M12 5v13.5M6 12.5l6 6 6-6",
  upload: "M12 16V4.5M7 9.5l5-5 5 5M4.5 16v4h15v-4",
};

/** Build an icon; it says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/** Build a button with an icon; `label` is its name for everybody who does not see it. */
export function iconButton(name, label, onclick, more = {}) {
  const properties = { type: "button", class: "icon-button", title: label, "aria-label": label, onclick };
  return el("button", { ...properties, ...more }, icon(name));
}
