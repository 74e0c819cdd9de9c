// A digit is drawn, and the newest model says which one it is. The server prepares the picture as `trainer predict` does; here are
// only the pen and the answer.

import { fill, get, make, percent, say, show } from "./dom.js";

/** The bitmap's side, whatever the screen's density is: the answer must not depend on the screen. */
const SIDE = 560;
const PEN = 40;
const [INK, PAPER] = ["#14171c", "#ffffff"];
/** While a stroke is drawn, the model is asked this often at most, in milliseconds. */
const PAUSE = 150;
/** And only when it is longer than a dot. */
const LENGTH = 60;
/** How long an answer may take. */
const LIMIT = 10_000;
/** How far a key moves the pen, and with Shift. */
const [STEP, LEAP] = [14, 70];

/**
 * The paper, the pen and the answer. `run()` is the number of the run that is asked, `ready()` whether it has a model; the result
 * is called after a round, or when another run is shown, to ask anew.
 */
export function drawing(run, ready) {
  const canvas = get("canvas");
  const context = canvas.getContext("2d");
  const pen = { x: SIDE / 2, y: SIDE / 4, down: false };
  let strokes = [];
  let version = 0; // of the drawing: an answer to what was cleared is not shown
  let asking = false;
  let again = false;
  let asked = 0;
  let timer = 0;

  function paint() {
    context.fillStyle = PAPER;
    context.fillRect(0, 0, SIDE, SIDE);
    context.strokeStyle = context.fillStyle = INK;
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    strokes.forEach(trace);
    show(get("hint"), strokes.length === 0);
    get("clear").disabled = get("undo").disabled = strokes.length === 0;
  }

  /** Through the middles between points, so that a quick hand draws no corners. */
  function trace(points) {
    context.beginPath();
    const [[x, y]] = points;
    if (points.length === 1) {
      context.arc(x, y, PEN / 2, 0, 2 * Math.PI);
      return context.fill();
    }
    context.moveTo(x, y);
    for (let index = 1; index < points.length - 1; index++) {
      const [[a, b], [c, d]] = [points[index], points[index + 1]];
      context.quadraticCurveTo(a, b, (a + c) / 2, (b + d) / 2);
    }
    context.lineTo(...points.at(-1));
    context.stroke();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const at = (value) => Math.round(Math.max(0, Math.min(SIDE, value)) * 10) / 10;
    return [at(((event.clientX - box.left) * SIDE) / box.width), at(((event.clientY - box.top) * SIDE) / box.height)];
  }

  let pointer = null;
  let frame = 0;
  const soon = () => (frame ||= requestAnimationFrame(() => ((frame = 0), paint())));
  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    lift();
    strokes.push([place(event)]);
    soon();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const all = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1).push(...(all.length ? all : [event]).map(place));
    soon();
    ask();
  });
  const end = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    ask(true);
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("lostpointercapture", end);

  // By keys.
  const mark = get("pen");
  function lift() {
    pen.down = false;
    mark.classList.remove("down");
  }
  function showPen() {
    show(mark, canvas.matches(":focus-visible"));
    mark.style.left = `${(100 * pen.x) / SIDE}%`;
    mark.style.top = `${(100 * pen.y) / SIDE}%`;
    mark.classList.toggle("down", pen.down);
  }
  canvas.addEventListener("focus", showPen);
  canvas.addEventListener("blur", () => {
    lift();
    show(mark, false);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const far = event.shiftKey ? LEAP : STEP;
    const move = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
    if (move) {
      [pen.x, pen.y] = [pen.x + move[0], pen.y + move[1]].map((value) => Math.max(20, Math.min(SIDE - 20, value)));
      if (pen.down) strokes.at(-1).push([pen.x, pen.y]);
    } else if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) strokes.push([[pen.x, pen.y]]);
      say(get("said"), pen.down ? "The pen is down." : "The pen is up.");
    } else return;
    event.preventDefault();
    paint();
    showPen();
    if (pen.down || event.key === " ") ask(event.key === " ");
  });

  get("clear").addEventListener("click", () => {
    strokes = [];
    changed();
    answer(null);
    canvas.focus({ preventScroll: true });
  });
  get("undo").addEventListener("click", () => {
    strokes.pop();
    changed();
    if (strokes.length) return ask(true);
    answer(null);
    canvas.focus({ preventScroll: true });
  });
  /** Something was taken away; a stroke under way is over. */
  function changed() {
    version++;
    pointer = null;
    lift();
    paint();
    if (!asking) busy(false);
  }
  const busy = (is) => get("digits").setAttribute("aria-busy", is);

  const long = () => [0, 1].some((axis) => {
    const values = strokes.flat().map((point) => point[axis]);
    return Math.max(...values) - Math.min(...values) > LENGTH;
  });

  /** Asks soon, or at once; while an answer is awaited, once more after it. */
  function ask(now = false) {
    if (!strokes.length || !(now || long())) return;
    if (!ready()) return answer({ error: "There is no model yet. It is asked as soon as the first round is over." });
    busy(true);
    if (asking) again = true;
    else soonest(now ? 0 : PAUSE);
  }

  function soonest(pause) {
    clearTimeout(timer);
    timer = setTimeout(post, Math.max(0, asked + pause - performance.now()));
  }

  async function post() {
    if (!strokes.length) return;
    [asking, again, asked] = [true, false, performance.now()];
    const [about, whom] = [version, run()];
    const current = () => about === version && whom === run();
    paint();
    try {
      const body = await new Promise((done) => canvas.toBlob(done, "image/png"));
      const headers = { "Content-Type": "image/png" };
      const options = { method: "POST", headers, body, signal: AbortSignal.timeout(LIMIT) };
      const response = await fetch(`/runs/${whom}/digits`, options);
      const text = await response.text();
      const found = parsed(text) ?? { error: text || `The server answered ${response.status}.` };
      if (current()) answer(response.ok ? found : { error: found.error ?? "There was no answer." });
    } catch (error) {
      const late = error.name === "TimeoutError";
      if (current()) answer({ error: late ? "No answer came in time." : "The run’s page cannot be reached." });
    }
    asking = false;
    if (again && strokes.length) soonest(PAUSE);
    else busy(false);
  }

  paint();
  answer(null);
  return () => ask(pointer === null && !pen.down);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** One digit's answer, which is written over and over. */
function column() {
  const bars = Array.from({ length: 10 }, (_, label) => {
    const parts = { bar: make("span"), share: make("span", "share") };
    parts.element = make("li", "", make("span", "label", `${label}`), make("span", "track", parts.bar), parts.share);
    return parts;
  });
  const [label, sure, seen] = [make("p", "label"), make("p", "sure"), make("img", "digit")];
  seen.alt = "What the network saw, 28 by 28 pixels";
  [seen.width, seen.height] = [28, 28];
  const figure = make("figure", "", seen, make("figcaption", "", "what the network saw"));
  const head = make("div", "said", label, make("div", "", sure, figure));
  const list = make("ol", "bars", ...bars.map((one) => one.element));
  list.setAttribute("aria-label", "Probability of each digit");
  return { element: make("div", "one", head, list), bars, label, sure, seen };
}

const columns = [column()];

/** Shows an answer, an error, or that there is none yet. */
function answer(found) {
  const digits = found?.digits ?? [];
  while (columns.length < digits.length) columns.push(column());
  const shown = columns.slice(0, Math.max(1, digits.length));
  const place = get("digits");
  if (place.children.length !== shown.length) place.replaceChildren(...shown.map((one) => one.element));
  place.classList.toggle("several", digits.length > 1);
  place.classList.toggle("none", !digits.length);
  shown.forEach(({ bars, label, sure, seen }, index) => {
    const digit = digits[index];
    say(label, digit ? `${digit.label}` : "?");
    say(sure, digit ? `${percent(digit.probabilities[digit.label])} sure` : "");
    seen.hidden = !digit;
    if (digit && seen.src !== digit.seen) seen.src = digit.seen;
    bars.forEach(({ bar, share, element }, number) => {
      const value = digit?.probabilities[number] ?? 0;
      fill(bar, value);
      say(share, digit ? `${(100 * value).toFixed(1)} %` : "");
      element.classList.toggle("best", digit?.label === number);
    });
  });
  const which = found?.round ? `the model of round ${found.round}` : "the final model";
  const words = found?.error ?? (digits.length ? `Answered by ${which}.` : "The newest model answers while you draw.");
  say(get("model"), sentence(words));
  get("model").classList.toggle("error", Boolean(found?.error));
  if (found) say(get("said"), digits.length ? `It says ${digits.map((digit) => digit.label).join(" ")}.` : sentence(words));
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
