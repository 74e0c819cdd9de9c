// Elements, made and changed. What is as it should be already is not touched, so that nothing is laid out for it.

const SVG = "http://www.w3.org/2000/svg";

/** The element of this identifier. */
export const get = (id) => document.getElementById(id);

/** A new element with a class, and what is in it. */
export function make(tag, name = "", ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** A new element of a picture, with its attributes. */
export function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Its text. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether it is there. */
export function show(element, there) {
  if (element.hasAttribute("hidden") === there) element.toggleAttribute("hidden", !there);
}

/** An attribute; `null` takes it away. */
export function put(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A bar, from 0 to 1. */
export function fill(bar, share) {
  const scale = `scaleX(${Math.max(0, Math.min(1, share || 0)).toFixed(4)})`;
  if (bar.style.transform !== scale) bar.style.transform = scale;
}

const SIGNS = {
  wait: "M8 1.8a6.2 6.2 0 1 0 .01 0M8 4.8V8l2.3 1.6",
  run: "M5 3.2v9.6l8-4.8z",
  down: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  back: "M12.7 6.2A5 5 0 1 0 13 9M13 2.6v3.8H9.2",
  done: "M3 8.6l3.4 3.4L13 4.6",
  stopped: "M4 4h8v8H4z",
};

/** A sign beside a word, never in place of one. */
export function sign(name) {
  const picture = shape("svg", { class: `sign ${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, shape("path"));
  setSign(picture, name);
  return picture;
}

/** Another sign. */
export function setSign(picture, name) {
  put(picture, "class", `sign ${name}`);
  put(picture.firstChild, "d", SIGNS[name] ?? SIGNS.wait);
}

/** `20,000` */
export const count = (number) => Math.round(number).toLocaleString("en");
/** `98.79 %` */
export const percent = (share) => (Number.isFinite(share) ? `${(100 * share).toFixed(2)} %` : "–");
/** `9,800 /s`, to two figures, so that it can be read while it changes. */
export function perSecond(rate) {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, rate))) - 1);
  return `${count(Math.round(rate / step) * step)} /s`;
}
/** `1 sample`, `20,000 samples` */
export const many = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;
/** `49 s`, `2 min 5 s`, `3 h 7 min` */
export function duration(seconds) {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
