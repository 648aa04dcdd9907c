// Elements are built by hand and data only ever becomes text nodes or checked attributes: names,
// messages and replies come from strangers and may look like HTML.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = new URL("../icons.svg", import.meta.url).pathname;

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

export function icon(name, className = "icon") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${ICONS}#${name}`);
  svg.append(use);
  return svg;
}

// The address when it is one a phone may open (http or https), else null: never javascript:.
export function webAddress(address) {
  if (!address) return null;
  try {
    const url = new URL(address, location.href);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

const AVATAR_COLOURS = ["#5b8ff9", "#f6903d", "#9270ca", "#e8684a", "#269a99", "#d6679b", "#5d7092", "#b8860b"];

export function colourOf(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return AVATAR_COLOURS[hash % AVATAR_COLOURS.length];
}

export function avatar(name, className = "") {
  const initial = [...(name || "?").trim()][0] || "?";
  const element = h("span", { class: `avatar ${className}`, "aria-hidden": "true" }, initial.toUpperCase());
  if (!className.includes("account")) element.style.backgroundColor = colourOf(name || "?");
  return element;
}

export function yuan(fen) {
  return `¥${(fen / 100).toFixed(2).replace(/\.00$/, "")}`;
}
