// The page: what the server pushes becomes a state, and the state is drawn, at most once a frame and only after a change.

import { get, make, say, show } from "./dom.js";
import { drawing } from "./draw.js";
import { pipeline } from "./pipeline.js";
import { curves, headline, processes, report } from "./sections.js";
import { apply, fresh } from "./state.js";

/** Milliseconds until the connection is tried again: at first, and at most. */
const [SOON, LATE] = [500, 5000];
const AWAY = "The connection is lost. Trying again …";
/** Motion ends, and seconds pass, without an event. */
const TICK = 500;
/** So long the page stays as it is while all that happened is told again. */
const HOLD = 100;

const parts = {
  headline: headline(),
  pipeline: pipeline(get("river")),
  curves: curves(),
  processes: processes(),
  report: report(),
};
let run = 0;
let state = fresh();
let source = null;
let wait = SOON;
let timer = 0;
// Of the server's clock, as far as events tell: one that has just happened comes soonest.
let ahead = Infinity;
let round = "";
const trained = () => state.rounds.length > 0 || state.finished || state.training?.first_round > 1;
const askAgain = drawing(() => run, trained);

let frame = 0;
let held = false;
function changed() {
  if (held) return;
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (held) return;
    const now = Number.isFinite(ahead) ? Date.now() / 1000 - ahead : state.at;
    parts.headline(state, now, state.at && document.body.classList.contains("cut"));
    const moves = parts.pipeline(state, now);
    parts.curves(state);
    parts.processes(state, now);
    parts.report(state, run);
    document.body.classList.toggle("moves", moves && source?.readyState === EventSource.OPEN);
    // Up to which event the page shows the run.
    get("main").dataset.at = `${state.at}`;
    const newest = `${state.rounds.at(-1)?.at}${state.finished?.at}`;
    if (round !== (round = newest)) askAgain();
  });
}

function connect() {
  clearTimeout(timer);
  source?.close();
  if (document.visibilityState !== "visible") return;
  const own = (source = new EventSource(`/runs/${run}/events`));
  own.addEventListener("open", () => {
    wait = SOON;
    lost("");
  });
  own.addEventListener("reset", () => {
    state = fresh();
    ahead = Infinity;
    // All is told again; it is drawn when it has come, so that nothing jumps.
    held = true;
    setTimeout(() => {
      held = false;
      changed();
    }, HOLD);
  });
  own.addEventListener("message", ({ data }) => {
    const event = JSON.parse(data);
    ahead = Math.min(ahead, Date.now() / 1000 - event.at);
    apply(state, event);
    changed();
  });
  own.addEventListener("error", () => {
    if (own !== source) return;
    lost(AWAY);
    // The browser itself tries again, with the id of the last event, unless it has given up.
    if (own.readyState === EventSource.CLOSED) later();
  });
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(start, wait);
  wait = Math.min(LATE, 2 * wait);
}

/** Finds out which runs there are, and whether this browser may see them; then follows one. */
async function start() {
  try {
    const response = await fetch("/runs", { signal: AbortSignal.timeout(LATE) });
    if (response.status === 401) {
      lost("This page was served under another token. Open the address that was printed.");
      return later();
    }
    if (!response.ok) throw new Error(`${response.status}`);
    const runs = await response.json();
    lost("");
    // The server is there before its run.
    if (!runs.length) return void (timer = setTimeout(start, SOON));
    choices(runs);
    connect();
  } catch {
    lost(AWAY);
    later();
  }
}

/** Says why there is no connection; after the end of a run it is no alarm. */
function lost(why) {
  const place = get("lost");
  const words = why === AWAY && state.finished ? "The run is over, and this page is served no more." : why;
  show(place, Boolean(words));
  say(place, words);
  document.body.classList.toggle("cut", Boolean(words) && !state.finished);
  changed();
}

function choices(runs) {
  const list = get("runs");
  const at = runs.findIndex(({ name }) => encodeURIComponent(name) === location.hash.slice(1));
  run = at < 0 ? 0 : at;
  list.replaceChildren(...runs.map(({ name }) => make("option", "", name)));
  list.selectedIndex = run;
  show(get("choice"), runs.length > 1);
  show(get("name"), runs.length < 2);
}

get("runs").addEventListener("change", ({ target }) => {
  run = target.selectedIndex;
  history.replaceState(null, "", `#${encodeURIComponent(target.value)}`);
  state = fresh();
  connect();
  changed();
});
// Who comes back to the page, or to the network, need not wait. A hidden page leaves to others the few connections that there are.
const hurry = () => document.visibilityState === "visible" && source?.readyState !== EventSource.OPEN && start();
addEventListener("online", hurry);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") return hurry();
  clearTimeout(timer);
  source?.close();
});
setInterval(() => {
  if (!state.finished && state.at && document.visibilityState === "visible") changed();
}, TICK);

start();
