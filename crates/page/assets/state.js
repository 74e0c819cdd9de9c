// What is known of a run: one event after the other becomes a state. Pure: no clock, no document. Of what supersedes itself only
// the newest need be told, so that a log in which the rest was left out gives the same state.

/** So many points of a curve are kept; beyond, every second of the older half goes. */
export const POINTS = 1000;
/** So many lines of a process' log. */
const LINES = 50;
/** A sender's rate is taken over at least so many seconds. */
const SPAN = 1;

/** Nothing is known yet. */
export function fresh() {
  return {
    at: 0, // Unix seconds of the newest event
    began: 0,
    plan: null,
    children: new Map(),
    senders: new Map(),
    providing: null,
    notice: "",
    receiver: { ready: false, queued: 0, samples: 0, chunks: 0, complete: false, paused: "", points: [], at: 0 },
    training: null,
    slice: null,
    progress: null,
    rounds: [],
    roundAt: 0,
    drifts: [],
    tasks: null,
    spark: "",
    finished: null,
  };
}

/** Takes an event into the state. Those that are not known are left out. */
export function apply(state, event) {
  if (Number.isFinite(event.at)) {
    state.at = Math.max(state.at, event.at);
    state.began ||= event.at;
  }
  EVENTS[event.event]?.(state, event);
}

const EVENTS = {
  plan(state, event) {
    state.plan = event;
    for (let index = 0; index < event.senders; index++) sender(state, `sender-${index}`);
  },
  started(state, { child, pid, at }) {
    const process = child_of(state, child);
    const again = process.state === "down";
    Object.assign(process, { pid, state: "running", status: "", starts: process.starts + 1, back: again ? at : 0 });
    // The time of streaming begins when the senders do, as in the report.
    const { points, samples } = state.receiver;
    if (state.senders.has(child) && !samples && !points.length) points.push([at, 0]);
  },
  ended(state, { child, ok, status }) {
    Object.assign(child_of(state, child), { state: ok ? "done" : "down", status, again: false });
    // What it had of a round is lost with it.
    if (child === "trainer" && !ok) state.progress = state.tasks = null;
  },
  restarting(state, { child, count, of }) {
    Object.assign(child_of(state, child), { count, of, again: true, state: "down" });
  },
  log(state, { child, text }) {
    const lines = child_of(state, child ?? "orchestrator").log;
    lines.push(text);
    if (lines.length > LINES) lines.shift();
  },
  finished(state, { ok, text, at }) {
    state.finished = { ok, text, at };
  },
  listening(state, { samples }) {
    Object.assign(state.receiver, { ready: true, samples: Math.max(samples, state.receiver.samples) });
  },
  stored(state, { samples, chunks, at }) {
    const { receiver } = state;
    Object.assign(receiver, { ready: true, samples, chunks, paused: "", at });
    receiver.points.push([at, samples]);
    thin(receiver.points);
  },
  receiving(state, { queued }) {
    if (!state.receiver.complete) state.receiver.queued = queued;
  },
  paused(state, { reason }) {
    state.receiver.paused = reason;
  },
  resumed(state) {
    state.receiver.paused = "";
  },
  complete(state, { samples, chunks }) {
    Object.assign(state.receiver, { samples, chunks, complete: true, queued: 0, paused: "" });
  },
  providing(state, { what, done, of }) {
    state.providing = { what, done, of };
  },
  data(state) {
    state.providing = null;
  },
  notice(state, { text }) {
    state.notice = text;
  },
  acknowledged(state, { child, samples, of, at }) {
    const one = sender(state, child);
    if (samples > one.samples) one.at = at;
    Object.assign(one, { samples, of });
    one.points.push([at, samples]);
    while (one.points.length > 2 && at - one.points[1][0] >= SPAN) one.points.shift();
    if (one.points.length > 64) one.points.splice(1, 1);
  },
  training(state, event) {
    state.training = { live: false, ...event };
  },
  live(state, event) {
    state.training = { ...event, live: true, rounds: 0 };
  },
  slice(state, event) {
    state.slice = event;
  },
  drift(state, { round, seq }) {
    if (!state.drifts.some((drift) => drift.seq === seq)) state.drifts.push({ round, seq });
    thin(state.drifts);
  },
  progress(state, event) {
    state.progress = { ...event, partitions: event.partitions ?? [] };
  },
  round(state, event) {
    const { rounds } = state;
    // A trainer that was started again may tell of a round again.
    const place = rounds.findIndex((round) => round.round >= event.round);
    if (place >= 0) rounds.splice(place, rounds[place].round === event.round ? 1 : 0, event);
    else {
      rounds.push(event);
      state.roundAt = event.at;
    }
    thin(rounds);
  },
  spark(state, { ui }) {
    state.spark = ui;
  },
  tasks(state, { round, done, of }) {
    state.tasks = { round, done, of };
  },
};

function child_of(state, name) {
  const known = state.children.get(name);
  if (known) return known;
  const child = { name, pid: 0, state: "running", status: "", starts: 0, back: 0, count: 0, of: 0, again: false, log: [] };
  state.children.set(name, child);
  return child;
}

function sender(state, name) {
  const known = state.senders.get(name);
  if (known) return known;
  const one = { name, samples: 0, of: 0, at: 0, points: [] };
  state.senders.set(name, one);
  return one;
}

function thin(points) {
  if (points.length <= POINTS) return;
  const half = points.length >> 1;
  points.splice(0, half, ...points.slice(0, half).filter((_, index) => index % 2 === 0));
}

/** How a run stands: a key, and the words for it. */
export function phase(state) {
  const { plan, training, progress, receiver, finished, providing } = state;
  if (finished) return { key: finished.ok ? "done" : "down", words: finished.ok ? "finished" : `ended: ${finished.text}` };
  if (!plan && !state.at) return { key: "wait", words: "waiting for the run to begin" };
  const last = state.rounds.at(-1)?.round ?? 0;
  const complete = receiver.complete || unheard(state);
  if (training) {
    const of = training.live ? "" : ` of ${training.rounds}`;
    const meanwhile = training.live && !complete ? ", while samples arrive" : "";
    if (!training.live && last >= training.rounds) return { key: "run", words: "training is over, the report is made" };
    if (progress && progress.round > last && progress.samples >= progress.of) {
      return { key: "run", words: `averaging and testing round ${progress.round}${of}` };
    }
    const begun = Math.max(progress?.round ?? 0, state.slice?.round ?? 0, training.first_round);
    if (training.live && begun <= last) {
      return { key: "run", words: complete ? "the stream has ended" : `waiting for the slice of round ${last + 1}` };
    }
    return { key: "run", words: `training round ${Math.max(begun, last + 1)}${of}${meanwhile}` };
  }
  if (receiver.paused) return { key: "down", words: `paused: ${receiver.paused}` };
  if (receiver.complete) return { key: "run", words: "all samples are durable, the trainer reads them" };
  if (receiver.samples) return { key: "run", words: "streaming" };
  if (providing) {
    const share = providing.of ? `, ${Math.floor((100 * providing.done) / providing.of)} %` : "";
    return { key: "run", words: `providing the dataset: ${providing.what}${share}` };
  }
  return { key: "wait", words: "starting" };
}

/** Whether only the trainer tells of the run: from its folder, or when all is durable. */
export function unheard({ receiver, children, training, finished }) {
  return !receiver.ready && !receiver.samples && !children.has("receiver") && Boolean(training || finished?.ok);
}

/** How a process ended, in words: `signal: 9 (SIGKILL)` is `killed (SIGKILL)`. */
export function ending(status) {
  const signal = /signal: \d+ \((\w+)\)/.exec(status)?.[1];
  if (signal) return signal === "SIGKILL" ? "killed (SIGKILL)" : `ended by ${signal}`;
  return status.replace("exit status:", "exit code") || "ended";
}

/** A process' sign and words, and what comes of it; `now` is in the run's Unix seconds. */
export function standing(process, now) {
  if (process.state === "done") return { sign: "done", words: "done" };
  if (process.state === "down") {
    const more = process.again ? `, is started again (${process.count} of ${process.of})` : "";
    return { sign: "down", words: ending(process.status), more };
  }
  if (process.back && now - process.back < 4) return { sign: "back", words: "is back" };
  return { sign: "run", words: "runs" };
}

/** Samples per second over the newest points. */
export function rate(points) {
  const [first, last] = [points[0], points.at(-1)];
  return points.length > 1 && last[0] - first[0] > 0.2 ? (last[1] - first[1]) / (last[0] - first[0]) : NaN;
}

/** Durable samples per second in equal spans of the streaming: `[[from, to, rate]]`, in seconds since its first sample. */
export function ingest(points, spans = 40) {
  if (points.length < 3) return [];
  const [from, to] = [points[0][0], points.at(-1)[0]];
  const width = Math.max(0.25, (to - from) / spans);
  const out = [];
  let index = 0;
  let before = points[0][1];
  for (let end = from + width; end <= to + 1e-6; end += width) {
    while (index + 1 < points.length - 1 && points[index + 1][0] < end) index++;
    const [[t, n], [u, m]] = [points[index], points[index + 1]];
    const samples = u > t ? n + ((m - n) * (Math.min(end, u) - t)) / (u - t) : m;
    out.push([end - width - from, end - from, Math.max(0, (samples - before) / width)]);
    before = samples;
  }
  return out;
}
