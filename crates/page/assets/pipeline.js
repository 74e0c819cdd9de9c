// The pipeline as a picture: what each part holds, and lines between them along which dots move while something flows. The parts
// are text in a grid, which reflows; the lines are drawn behind them, from where the parts are.

import { count, fill, make, many, percent, perSecond, put, say, setSign, shape, show, sign } from "./dom.js";
import { rate, standing, unheard } from "./state.js";

/** A line flows for so many seconds after something went along it. */
const FLOW = 1.2;
/** So many senders, or partitions, are drawn; of the rest their number is said. */
const MOST = 24;
/** So many squares at most stand for the chunks. */
const SQUARES = 60;
const [WAITS, DONE] = [{ sign: "wait", words: "waits" }, { sign: "done", words: "done" }];
const COMPLETE = { sign: "done", words: "complete" };
const STOPPED = { sign: "stopped", words: "stopped" };
/** How a part stands that does nothing, unless the run ended before its time. */
const idle = ({ finished }, otherwise = WAITS) => (finished && !finished.ok ? STOPPED : otherwise);

/** The picture within this element. */
export function pipeline(river) {
  const lines = shape("svg", { class: "links", "aria-hidden": "true" });
  let parts = null;
  let links = [];
  let built = "";

  function build(senders, partitions) {
    parts = {
      senders: stage("Senders", "senders", senders),
      receiver: stage("Receiver", "receiver"),
      directory: stage("Chunk directory", "directory"),
      partitions: stage("Partitions", "partitions", partitions),
      average: stage("Average", "average"),
      test: stage("Test", "test"),
    };
    parts.directory.squares = shape("svg", { class: "squares", "aria-hidden": "true" });
    parts.directory.cards[0].element.append(parts.directory.squares);
    parts.partitions.link = make("a", "spark");
    Object.assign(parts.partitions.link, { target: "_blank", rel: "noreferrer", textContent: "Spark’s own pages" });
    parts.partitions.element.append(parts.partitions.link);
    const list = make("ol", "parts-of-river");
    list.setAttribute("role", "list");
    list.append(...Object.values(parts).map((part) => part.element));
    river.replaceChildren(lines, list);
    const [receiver, directory, average, test] = [parts.receiver, parts.directory, parts.average, parts.test].map(only);
    links = [
      ...parts.senders.cards.map((from) => link("data", from, receiver)),
      link("data", receiver, directory),
      ...parts.partitions.cards.map((to) => link("data", directory, to)),
      ...parts.partitions.cards.map((from) => link("model", from, average)),
      link("model", average, test),
      link("model loop", average, parts.partitions.cluster),
    ];
    lines.replaceChildren(...links.flatMap((one) => [one.bed, one.dots]));
    watcher.disconnect();
    watcher.observe(river);
    for (const part of Object.values(parts)) watcher.observe(part.element);
  }

  // Lines begin and end where the parts are.
  const watcher = new ResizeObserver(() => {
    const origin = river.getBoundingClientRect();
    put(lines, "viewBox", `0 0 ${Math.max(1, origin.width)} ${Math.max(1, origin.height)}`);
    const place = (element) => within(element.getBoundingClientRect(), origin);
    for (const { bed, dots, from, to, kind } of links) {
      const [a, b, first] = [from.element, to.element, to.element.parentNode.firstChild].map(place);
      const path = kind.includes("loop") ? loop(a, b, origin.width) : course(a, b, first.bottom <= b.top);
      put(bed, "d", kind.includes("loop") ? path + head(path) : path);
      put(dots, "d", path);
    }
  });

  /** Draws the state; `now` is in the run's Unix seconds. True while something moves. */
  return function draw(state, now) {
    const senders = [...state.senders.keys()];
    const known = Math.max(state.plan?.partitions ?? 0, state.training?.partitions ?? 0, 1);
    if (built !== (built = JSON.stringify([senders, known]))) {
      build(senders, Array.from({ length: known }, (_, index) => `partition ${index}`));
    }
    const flow = flows(state, now);
    drawSenders(parts.senders, state, now);
    drawReceiver(only(parts.receiver), state, now);
    drawDirectory(parts.directory, state);
    drawPartitions(parts.partitions, state, now, known);
    drawModel(parts, state);
    for (const one of links) put(one.dots, "class", `dots ${one.kind}${flow(one) ? " on" : ""}`);
    return links.some(flow);
  };

  function flows(state, now) {
    const fresh = (at) => !state.finished && at > 0 && now - at < FLOW;
    const last = state.rounds.at(-1)?.round ?? 0;
    const { progress } = state;
    const busy = progress && progress.round > last && !state.finished;
    const trains = busy && progress.samples < progress.of && fresh(progress.at);
    const ends = (busy && progress.samples >= progress.of && fresh(progress.at - 1)) || fresh(state.roundAt);
    const [source, store, mean, trial] = [parts.receiver, parts.directory, parts.average, parts.test].map(only);
    return ({ from, to, kind }) => {
      if (kind.includes("loop")) return fresh(state.roundAt);
      if (to === trial || to === mean) return ends;
      if (from === store) return trains && takes(progress, parts.partitions.cards.indexOf(to), parts.partitions.of);
      if (from === source) return fresh(state.receiver.at);
      return state.children.get(from.name)?.state !== "down" && fresh(state.senders.get(from.name)?.at);
    };
  }
}

/** The share of its samples that a partition has passed. One may hold a sample fewer; on Spark only the whole is known. */
function passed({ samples, of, partitions }, index, known) {
  const own = partitions[index];
  if (own === undefined) return samples / of;
  const share = (own * known) / of;
  return samples >= of || share > 0.99 ? 1 : share;
}

/** Whether it is in the middle of them. */
function takes(progress, index, known) {
  const share = passed(progress, index, known);
  return share > 0 && share < 1;
}

/** A stage, with a card for each of these names, or one without a name. */
function stage(title, name, names = [""]) {
  const cards = names.slice(0, MOST).map(card);
  const abreast = cards.length > 4 || cards.length === 3 ? 3 : Math.min(2, cards.length);
  const cluster = make("div", `cluster abreast-${abreast}${cards.length > 5 ? " dense" : ""}`, ...cards.map((one) => one.element));
  const element = make("li", `stage ${name}`, make("h3", "", title), cluster);
  if (names.length > MOST) element.append(make("p", "remark", `and ${count(names.length - MOST)} more`));
  return { element, cluster: { element: cluster }, cards, of: names.length };
}

const only = (stage) => stage.cards[0];

/** A part: its name, what it holds, how it stands. */
function card(name) {
  const mark = sign("wait");
  const word = make("span", "word");
  const parts = {
    name,
    mark,
    word,
    title: make("p", "title", name),
    value: make("p", "value"),
    more: make("p", "more"),
    state: make("p", "state", mark, word),
    bar: make("span"),
  };
  const above = name ? [parts.title, make("div", "track", parts.bar)] : [];
  parts.element = make("div", "card", ...above, parts.value, parts.more, parts.state);
  return parts;
}

/** How a part stands. The line is always there, so that nothing moves when it changes. */
function stand(part, { sign: name, words }) {
  put(part.element, "class", `card ${name}`);
  setSign(part.mark, name);
  say(part.word, words);
}

function drawSenders({ cards }, state, now) {
  for (const part of cards) {
    const { samples, of, at, points } = state.senders.get(part.name);
    const unsaid = !samples && (state.finished?.ok || unheard(state));
    fill(part.bar, of ? samples / of : samples || unsaid ? 1 : 0);
    say(part.value, unsaid ? "all" : count(samples));
    say(part.more, unsaid ? "of its share" : of ? `of ${count(of)}` : "samples");
    const process = state.children.get(part.name);
    const stands = process ? standing(process, now) : WAITS;
    const speed = now - at < 2 ? rate(points) : NaN;
    if (stands.sign === "down" || stands.sign === "back") stand(part, stands);
    else if (unsaid || stands.sign === "done" || (of > 0 && samples >= of)) stand(part, DONE);
    else stand(part, speed > 0 && !state.finished ? { sign: "run", words: perSecond(speed) } : idle(state));
  }
}

function drawReceiver(part, state, now) {
  const { receiver } = state;
  const unsaid = unheard(state);
  say(part.value, unsaid ? "all" : count(receiver.samples));
  say(part.more, `durable\n${count(receiver.queued)} queued`);
  const process = state.children.get("receiver");
  if (receiver.paused) return stand(part, { sign: "down", words: `paused: ${receiver.paused}` });
  const stands = process ? standing(process, now) : WAITS;
  if (stands.sign === "down" || stands.sign === "back") return stand(part, stands);
  if (receiver.complete || unsaid) return stand(part, COMPLETE);
  if (state.finished) return stand(part, idle(state, COMPLETE));
  const speed = now - receiver.at < 2 ? rate(receiver.points.slice(-12)) : NaN;
  if (speed > 0) stand(part, { sign: "run", words: perSecond(speed) });
  else stand(part, receiver.ready ? { sign: "run", words: "listens" } : WAITS);
}

function drawDirectory({ cards: [part], squares }, state) {
  const { receiver, plan, training, slice } = state;
  // Where only the trainer tells of the run, it says how many samples there are.
  const samples = receiver.samples || (training?.samples ?? (slice ? slice.position + slice.behind_samples : 0));
  say(part.value, count(receiver.chunks || samples));
  say(part.more, receiver.chunks ? `chunk${receiver.chunks === 1 ? "" : "s"}\n${many(samples, "sample")}` : "samples");
  const each = receiver.chunks ? receiver.samples / receiver.chunks : 0;
  const expected = each && plan?.samples ? Math.max(receiver.chunks, Math.ceil(plan.samples / each - 0.01)) : receiver.chunks;
  const shown = Math.min(SQUARES, expected);
  const filled = expected ? Math.round((shown * receiver.chunks) / expected) : 0;
  if (squares.children.length !== shown) {
    const at = (index) => ({ x: (index % 10) * 11, y: Math.floor(index / 10) * 11, width: 9, height: 9, rx: 1.5 });
    squares.replaceChildren(...Array.from({ length: shown }, (_, index) => shape("rect", at(index))));
    put(squares, "viewBox", `0 0 108 ${Math.max(1, Math.ceil(shown / 10)) * 11 - 2}`);
  }
  show(squares, shown > 0);
  [...squares.children].forEach((square, index) => put(square, "class", index < filled ? "full" : "empty"));
  const complete = receiver.complete || unheard(state);
  if (state.finished) stand(part, complete ? COMPLETE : idle(state, COMPLETE));
  else if (slice?.behind_samples) stand(part, { sign: "run", words: `${count(slice.behind_samples)} untrained` });
  else if (complete) stand(part, COMPLETE);
  else stand(part, samples ? { sign: "run", words: "grows" } : { sign: "wait", words: "empty" });
}

function drawPartitions({ cards, link }, state, now, known) {
  const { progress, tasks, spark } = state;
  const last = state.rounds.at(-1)?.round ?? 0;
  const under = progress && progress.round > last ? progress : null;
  const trainer = state.children.get("trainer");
  const down = trainer && trainer.state !== "done" ? standing(trainer, now) : null;
  cards.forEach((part, index) => {
    const samples = progress?.partitions[index];
    const whole = progress && passed(progress, index, known);
    const unsaid = !progress && state.finished?.ok;
    fill(part.bar, unsaid ? 1 : whole);
    if (unsaid) say(part.value, "all");
    else say(part.value, progress && samples === undefined ? `${Math.floor(100 * whole)} %` : count(samples ?? 0));
    say(part.more, unsaid ? "of its share" : samples === undefined && progress ? "of the round" : "samples");
    const busy = under && takes(progress, index, known);
    if (down && down.sign !== "run") stand(part, down);
    else if (busy && !state.finished) stand(part, { sign: "run", words: "trains" });
    else stand(part, idle(state, unsaid || whole >= 1 ? DONE : WAITS));
  });
  show(link, Boolean(spark) || Boolean(tasks));
  if (tasks) say(link, `Spark: ${tasks.done} of ${many(tasks.of, "task")}`);
  put(link, "href", /^https?:\/\//.test(spark) ? spark : null);
}

function drawModel({ average: { cards: [mean] }, test: { cards: [trial] } }, state) {
  const { rounds, training, progress, finished } = state;
  const last = rounds.at(-1);
  const of = training?.rounds || state.plan?.rounds || 0;
  say(mean.value, last ? count(last.round) : "–");
  say(mean.more, last && of ? `of ${many(of, "round")}` : of ? many(of, "round") : "rounds");
  const testing = progress && progress.round > (last?.round ?? 0) && progress.samples >= progress.of && !finished;
  const stands = idle(state, finished ? DONE : WAITS);
  stand(mean, testing ? { sign: "run", words: "averages" } : stands);
  say(trial.value, last ? percent(last.test_accuracy) : "–");
  say(trial.more, last ? `loss ${last.test_loss.toFixed(4)}` : "accuracy");
  stand(trial, testing ? { sign: "run", words: "is measured" } : stands);
}

function link(kind, from, to) {
  return { kind, from, to, bed: shape("path", { class: `bed ${kind}` }), dots: shape("path", { class: `dots ${kind}` }) };
}

function within(box, origin) {
  const [left, top] = [box.left - origin.left, box.top - origin.top];
  return { left, top, right: left + box.width, bottom: top + box.height, x: left + box.width / 2, y: top + box.height / 2 };
}

/** From one part to the next: sideways where they stand side by side, else down, and around those that stand between. */
function course(a, b, between) {
  if (b.left >= a.right) return sideways(a.right, a.y, b.left, b.y);
  if (b.right <= a.left) return sideways(a.left, a.y, b.right, b.y);
  if (between) {
    const x = b.right + 7;
    return `${bend([Math.min(a.right, x), a.y], [x, a.y], [x, a.y], [x, a.bottom])}L${point([x, b.y])}L${point([b.right, b.y])}`;
  }
  const middle = (a.bottom + b.top) / 2;
  return bend([a.x, a.bottom], [a.x, middle], [b.x, middle], [b.x, b.top]);
}

function sideways(x, y, u, v) {
  const middle = (x + u) / 2;
  return bend([x, y], [middle, y], [middle, v], [u, v]);
}

const point = ([x, y]) => `${px(x)} ${px(y)}`;
const bend = (from, ...rest) => `M${point(from)}C${rest.map(point).join(" ")}`;

/** From the average back to the partitions: below them, or beside them where they stand above. */
function loop(a, b, width) {
  if (b.bottom <= a.top) {
    const x = Math.min(width, Math.max(a.right, b.right)) + 9;
    const [from, turn, middle, end] = [[a.right, a.y], [x, a.y], [x, (a.y + b.y) / 2], [b.right, b.y]].map(point);
    return `M${from}C${turn} ${turn} ${middle}S${point([x, b.y])} ${end}`;
  }
  const y = Math.max(a.bottom, b.bottom) + 34;
  const [from, turn, middle, end] = [[a.x, a.bottom], [a.x, y], [(a.x + b.x) / 2, y], [b.x, b.bottom + 2]].map(point);
  return `M${from}C${turn} ${turn} ${middle}S${point([b.x, y])} ${end}`;
}

/** An arrow's head where a path ends, which it does upwards or to the left. */
function head(path) {
  const [u, , x, y] = path.match(/[\d.-]+/g).slice(-4).map(Number);
  const [a, b] = u > x ? [[7, -7], [7, 7]] : [[-7, 7], [7, 7]];
  return `M${point([x + a[0], y + a[1]])}L${point([x, y])}L${point([x + b[0], y + b[1]])}`;
}

const px = (place) => place.toFixed(1);
