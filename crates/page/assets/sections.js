// What stands around the pipeline: the headline, the curves, the processes, and in the end the report.

import { chart } from "./chart.js";
import { count, duration, get, make, many, percent, perSecond, put, say, setSign, show, sign } from "./dom.js";
import { ending, ingest, phase, POINTS, rate, standing } from "./state.js";

/** The headline, drawn anew from a state; `now` is in the run's Unix seconds. */
export function headline() {
  const mark = sign("wait");
  get("sign").replaceWith(mark);
  let facts = "";
  return function draw(state, now, lost) {
    const last = state.rounds.at(-1);
    const live = last?.prequential;
    const { receiver, plan, training } = state;
    const { key, words } = lost ? { key: "down", words: "the connection is lost – trying again" } : phase(state);
    if (live) {
      say(get("figure"), percent(live.fading_accuracy));
      say(get("what"), "fading accuracy: of the samples last to come, each before it was trained on");
    } else if (last) {
      say(get("figure"), percent(last.test_accuracy));
      say(get("what"), `test accuracy after round ${last.round}, on images never trained on`);
    } else {
      say(get("figure"), state.at ? count(receiver.samples) : "–");
      const of = plan?.samples ? `of ${many(plan.samples, "sample")} are durable` : "samples are durable";
      say(get("what"), state.at ? of : "connecting");
    }
    setSign(mark, key);
    put(get("now"), "class", `now ${key}`);
    say(get("words"), words);
    say(get("name"), plan?.name ?? "…");
    const title = `${last ? `${get("figure").textContent} – ` : ""}${words} – Tributary`;
    if (document.title !== title) document.title = title;
    const speed = !receiver.complete && now - receiver.at < 3 ? rate(receiver.points.slice(-12)) : NaN;
    const end = state.finished?.at ?? now;
    const shown = [
      live && ["test accuracy", percent(last.test_accuracy)],
      last && ["test loss", last.test_loss.toFixed(4)],
      last?.received_accuracy !== undefined && ["received accuracy", percent(last.received_accuracy)],
      receiver.samples && ["durable", many(receiver.samples, "sample")],
      Number.isFinite(speed) && ["ingest", perSecond(speed)],
      last && ["rounds", training?.rounds ? `${last.round} of ${training.rounds}` : `${last.round}`],
      live && ["drifts seen", state.drifts.length > POINTS / 2 ? `over ${POINTS / 2}` : `${state.drifts.length}`],
      state.children.size && state.began && ["since the start", duration(end - state.began)],
    ].filter(Boolean);
    if (facts !== (facts = JSON.stringify(shown))) {
      const fact = ([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value));
      get("headline").replaceChildren(...shown.map(fact));
    }
    troubles(state, now);
    show(get("notice"), Boolean(state.notice));
    say(get("notice"), state.notice);
    announce(state, words);
  };
}

/** Processes that are down, or have just come back. */
function troubles(state, now) {
  const all = state.finished ? [] : [...state.children.values()];
  const some = all
    .map((process) => ({ ...standing(process, now), name: process.name }))
    .filter((one) => one.sign === "down" || one.sign === "back");
  const list = get("troubles");
  show(list, some.length > 0);
  const key = JSON.stringify(some);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const words = (one) => make("span", "", make("b", "", one.name), ` ${one.words}${one.more ?? ""}`);
  list.replaceChildren(...some.map((one) => make("li", one.sign, sign(one.sign), words(one))));
}

/** What changed, for who does not see it: no more often than every three seconds, and then only the newest. */
let said = "";
let silent = 0;
function announce(state, words) {
  const down = [...state.children.values()].filter((process) => process.state === "down" && !state.finished);
  const last = state.rounds.at(-1);
  const accuracy = last ? `Round ${last.round}: test accuracy ${percent(last.test_accuracy)}. ` : "";
  const troubled = down.map((process) => `${process.name} is ${ending(process.status)}. `).join("");
  const text = `${troubled}${accuracy}${state.finished || !last ? `${words}.` : ""}`;
  if (text === said || silent) return;
  said = text;
  say(get("status"), text);
  silent = setTimeout(() => {
    silent = 0;
    announce(state, words);
  }, 3000);
}

/** The curves. Each is drawn only when there is more of it. */
export function curves() {
  let [rounds, points] = [null, ""];
  return function draw(state) {
    if (rounds !== (rounds = JSON.stringify([state.rounds.at(-1)?.at, state.rounds.length, state.drifts.length]))) byRound(state);
    if (points !== (points = JSON.stringify([state.receiver.points.at(-1), state.receiver.points.length]))) byTime(state);
  };
}

function byRound({ rounds, drifts }) {
  const live = rounds.some((round) => round.prequential);
  const points = (value) => rounds.map((round) => [round.round, value(round) ?? NaN]);
  const line = (name, colour, value) => ({ name, class: colour, points: points(value) });
  const rules = [...new Set(drifts.map((drift) => drift.round))];
  const caption = get("accuracy-caption");
  if (!caption.firstChild) caption.append(make("b", "", "Accuracy"), ", share recognised; the axis begins where the figures do");
  chart(get("accuracy"), {
    id: "accuracy-chart", title: "Accuracy by round", axis: "round", unit: " %", rounds: true, most: 100, rules,
    description: trend("Test accuracy", rounds, (round) => percent(round.test_accuracy)),
    lines: [
      line("test", "s1", (round) => 100 * round.test_accuracy),
      line("received", "s2", (round) => 100 * round.received_accuracy),
      line("prequential", "s4", (round) => 100 * round.prequential?.accuracy),
      line("fading", "s3", (round) => 100 * round.prequential?.fading_accuracy),
    ],
  });
  chart(get("loss"), {
    id: "loss-chart", title: "Loss by round", axis: "round", rounds: true, fromZero: true, rules,
    description: trend("Test loss", rounds, (round) => round.test_loss.toFixed(4)),
    lines: [
      line("test", "s1", (round) => round.test_loss),
      line("train", "s3", (round) => round.train_loss),
      line("prequential", "s4", (round) => round.prequential?.loss),
    ],
  });
  show(get("drifts"), live);
  const seen = drifts.slice(-6).map(({ round, seq }) => `${count(seq)} (round ${round})`).join(", ");
  const most = drifts.length > 6 ? "…, " : "";
  const words = seen
    ? `The drift detector saw the prequential errors increase at sample ${most}${seen}. In the charts, a dashed rule.`
    : "The drift detector has seen no increase of the prequential errors.";
  const meaning = "Prequential: the model of the round before, on this round’s slice before it was trained on it.";
  say(get("drifts"), `${meaning} ${words}`);
}

function trend(what, rounds, value) {
  const [first, last] = [rounds[0], rounds.at(-1)];
  if (!first) return `${what}: no round is trained yet.`;
  if (first === last) return `${what} is ${value(last)} in round ${last.round}.`;
  return `${what} goes from ${value(first)} in round ${first.round} to ${value(last)} in round ${last.round}.`;
}

function byTime({ receiver: { points } }) {
  const rates = ingest(points);
  show(get("stream"), rates.length > 0);
  if (!rates.length) return;
  const [first, last] = [points[0], points.at(-1)];
  const mean = (last[1] - first[1]) / (last[0] - first[0]);
  const since = first[1] ? "the first samples were durable" : "the senders were started";
  chart(get("ingest"), {
    id: "ingest-chart", title: "Durable samples per second over time", fromZero: true, axis: `seconds since ${since}`,
    description: `On average ${count(mean)} samples became durable in a second.`,
    // Steps: a rate is the mean of its span.
    lines: [{ name: "samples/s", class: "s1", points: rates.flatMap(([from, to, value]) => [[from, value], [to, value]]) }],
  });
  const counts = "A sample counts when its chunk is written, synced and renamed into place.";
  say(get("ingest-words"), `On average ${count(mean)} samples per second, simulated latency included. ${counts}`);
}

/** The processes, each with a row, and one below with its newest lines. */
export function processes() {
  const rows = new Map();
  return function draw(state, now) {
    show(get("processes"), state.children.size > 0);
    for (const name of [...rows.keys()].filter((name) => !state.children.has(name))) {
      rows.get(name).all.forEach((row) => row.remove());
      rows.delete(name);
    }
    for (const process of state.children.values()) {
      if (!rows.has(process.name)) rows.set(process.name, addRow(process.name));
      const row = rows.get(process.name);
      const { sign: name, words, more = "" } = standing(process, now);
      put(row.all[0], "class", `process ${name}`);
      setSign(row.mark, name);
      say(row.words, words + more);
      say(row.pid, process.pid ? `${process.pid}` : "–");
      say(row.restarts, `${Math.max(0, process.starts - 1)}`);
      const newest = process.log.at(-1) ?? "";
      show(row.all[1], Boolean(newest));
      say(row.newest, newest);
      row.log = process.log;
      if (row.details.open) say(row.lines, process.log.join("\n"));
    }
  };
}

const before = (a, b) => a.localeCompare(b, "en", { numeric: true }) < 0;

function addRow(name) {
  const row = { mark: sign("wait"), words: make("span"), pid: make("td"), restarts: make("td"), log: [] };
  Object.assign(row, { newest: make("code"), lines: make("code") });
  const heading = make("th", "", name);
  if (name === "sender") heading.append(make("span", "remark", " prepares the data"));
  heading.scope = "row";
  row.details = make("details", "", make("summary", "", make("span", "hidden", `Log of ${name}: `), row.newest), make("pre", "", row.lines));
  row.details.addEventListener("toggle", () => say(row.lines, row.log.join("\n")));
  const cell = make("td", "", row.details);
  cell.colSpan = 4;
  const process = make("tr", "process", heading, make("td", "", row.mark, row.words), row.pid, row.restarts);
  process.dataset.name = name;
  row.all = [process, make("tr", "log", cell)];
  // In the order of their names, not of what they said first.
  const after = [...get("rows").querySelectorAll(".process")].find((other) => before(name, other.dataset.name));
  for (const one of row.all) get("rows").insertBefore(one, after ?? null);
  return row;
}

/** The report in a frame as high as it is, once the run is over and there is one. */
export function report() {
  let shown = "";
  return function draw(state, run) {
    const wanted = state.finished?.ok ? `/runs/${run}/report` : "";
    if (wanted === shown) return;
    shown = wanted;
    const section = get("report");
    section.querySelector("iframe")?.remove();
    show(section, Boolean(wanted));
    if (!wanted) return;
    const frame = make("iframe", "report");
    frame.title = "The whole report of this run";
    // Its own scripts, if it had any, would not run; this page measures how high it is.
    frame.setAttribute("sandbox", "allow-same-origin allow-popups");
    frame.addEventListener("load", () => {
      const inner = frame.contentDocument?.documentElement;
      if (!inner) return;
      const body = inner.querySelector("body");
      // It stands in this page as a part of it.
      Object.assign(body.style, { margin: "0", padding: "1.6rem 0 1rem", maxWidth: "none" });
      inner.style.fontSize = getComputedStyle(document.documentElement).fontSize;
      const measure = () => (frame.style.height = `${Math.ceil(body.getBoundingClientRect().height)}px`);
      new ResizeObserver(measure).observe(body);
      measure();
    });
    frame.src = wanted;
    section.append(frame);
  };
}
