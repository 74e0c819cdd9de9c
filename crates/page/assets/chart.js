// A line chart in the report's look: its geometry, classes and words are those of the report's crate, so that both show one run
// alike.

import { count, shape } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [440, 250, 46, 14, 206];
/** Between the names of two lines, so that both can be read. */
const LINE_HEIGHT = 16;
/** Of a letter, nearly. */
const LETTER = 6.6;
/** Marks on more points than these would run into each other. */
const MARKS = 24;

/**
 * Draws into an element. The words mean what those of the report's chart mean; a line is `{name, class, points: [[x, y]]}`.
 */
export function chart(element, { id, title, description, axis, unit = "", rounds, fromZero, most = Infinity, lines, rules = [] }) {
  const finite = (points) => points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const kept = lines.map((line) => ({ ...line, points: finite(line.points) })).filter((line) => line.points.length);
  const longest = Math.max(0, ...kept.map((line) => line.name.length));
  const right = WIDTH - Math.min(150, Math.max(16, longest * LETTER + 16));
  const bounds = (axis, ...also) => {
    let [low, high] = [Infinity, -Infinity];
    const take = (value) => ([low, high] = [Math.min(low, value), Math.max(high, value)]);
    for (const line of kept) for (const point of line.points) take(point[axis]);
    also.forEach(take);
    return low > high ? [0, 1] : [low, high];
  };
  const x = rounds ? whole(...bounds(0), LEFT + 8, right, 6) : around(...bounds(0, 0), LEFT + 8, right, 5);
  const y = around(...bounds(1, ...(fromZero ? [0] : [])), BOTTOM, TOP, 4, most);
  const [named, described] = [`${id}-title`, `${id}-description`];
  const picture = shape(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": named, "aria-describedby": described },
    shape("title", { id: named }, title),
    shape("desc", { id: described }, description),
    ...axes(x, kept.length ? y : { ...y, ticks: [] }, right, unit, axis),
    ...rules.map(x.at).filter((at) => at >= LEFT && at <= right + 0.1).map((at) => line("event", at, TOP, at, BOTTOM)),
    ...kept.flatMap((one) => curve(one, x, y, rounds)),
    ...labels(kept, x, y),
  );
  if (!kept.length) picture.append(text((LEFT + right) / 2, (TOP + BOTTOM) / 2, "middle", "nothing yet"));
  element.replaceChildren(picture);
}

function axes(x, y, right, unit, name) {
  return [
    ...y.ticks.flatMap((tick) => [
      line("grid", LEFT, y.at(tick), right, y.at(tick)),
      text(LEFT - 7, y.at(tick) + 4, "end", written(tick, y.decimals) + unit),
    ]),
    ...x.ticks.flatMap((tick) => [
      line("tick", x.at(tick), BOTTOM + 4, x.at(tick), BOTTOM + 8),
      text(x.at(tick), BOTTOM + 22, "middle", written(tick, x.decimals)),
    ]),
    text((LEFT + 8 + right) / 2, BOTTOM + 40, "middle", name),
  ];
}

function curve({ name, class: colour, points }, x, y, rounds) {
  const places = points.map(([a, b]) => [px(x.at(a)), px(y.at(b))]);
  const out = places.length > 1 ? [shape("polyline", { class: `line ${colour}`, points: places.join(" ") })] : [];
  if (rounds && places.length <= MARKS && (places.length === 1 || name)) {
    out.push(...places.map(([cx, cy]) => shape("circle", { class: `mark ${colour}`, cx, cy, r: 3 })));
  }
  return out;
}

/** The names at the lines' ends, clear of each other. */
function labels(lines, x, y) {
  const ends = lines.map((one) => ({ ...one, end: x.at(one.points.at(-1)[0]), at: y.at(one.points.at(-1)[1]) }));
  ends.sort((a, b) => a.at - b.at);
  let free = -Infinity;
  for (const one of ends) {
    one.at = Math.max(one.at, free);
    free = one.at + LINE_HEIGHT;
  }
  // What was pushed out at the bottom pushes back.
  let limit = BOTTOM + LINE_HEIGHT;
  for (const one of ends.reverse()) {
    one.at = Math.min(one.at, limit);
    limit = one.at - LINE_HEIGHT;
  }
  return ends.map((one) => shape("text", { class: `name ${one.class}`, x: px(one.end + 10), y: px(one.at + 4) }, one.name));
}

/** An axis for these numbers, widened to round ones, but to `most` at most. */
function around(low, high, from, to, ticks, most = Infinity) {
  if (!(high - low > 1e-9 * Math.max(Math.abs(high), 1e-9))) {
    const margin = low === 0 ? 1 : Math.abs(low) * 0.1;
    [low, high] = [low - margin, Math.min(high + margin, Math.max(high, most))];
  }
  const step = roundStep((high - low) / ticks);
  return scale(Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step, from, to, step);
}

/** An axis of whole numbers, from the first to the last. */
function whole(low, high, from, to, ticks) {
  return scale(low, high, from, to, Math.max(1, Math.round(roundStep((high - low) / ticks))));
}

function scale(low, high, from, to, step) {
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return {
    at: (value) => from + (high > low ? (value - low) / (high - low) : 0.5) * (to - from),
    ticks: Array.from({ length: Math.min(20, last - first + 1) }, (_, index) => (first + index) * step),
    decimals: Math.min(8, Math.max(0, -Math.floor(Math.log10(step)))),
  };
}

/** The nearest of 1, 2, 5, 10, 20, … above. */
function roundStep(step) {
  if (!(step > 0) || !Number.isFinite(step)) return 1;
  const power = 10 ** Math.floor(Math.log10(step));
  return ([1, 2, 5].find((factor) => factor * power >= step * (1 - 1e-9)) ?? 10) * power;
}

const written = (tick, decimals) => (decimals === 0 ? count(tick) : tick.toFixed(decimals));
const px = (place) => place.toFixed(1);
const line = (name, x1, y1, x2, y2) => shape("line", { class: name, x1: px(x1), y1: px(y1), x2: px(x2), y2: px(y2) });
const text = (x, y, anchor, words) => shape("text", { x: px(x), y: px(y), "text-anchor": anchor }, words);
