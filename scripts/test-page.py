"""The checks of scripts/test-page: runs that go on, and are over, in one browser."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

from browser import check, launch, verdict
from playwright.sync_api import TimeoutError as Late
from playwright.sync_api import sync_playwright

WIDTHS = [390, 768, 1440]
SCHEMES = ["light", "dark"]
LIMIT = 120_000  # milliseconds, for whatever the browser or a run does
STROKES = pathlib.Path(__file__).parent.parent / "crates/page/tests/strokes.json"
STORED = {one["digit"]: one["strokes"] for one in reversed(json.loads(STROKES.read_text()))}  # one of each
SIDE = 560  # of the paper that the strokes are on
BYTES = 150_000  # of all that the page loads, its report included
# Seconds that only something broken takes: how fast it is depends on the machine, and is told.
LATENCY = 5.0  # from an event to its pixel, for 95 of 100
ANSWER = 5.0  # from the end of a stroke to its answer, for half of them
RIGHT = {"MNIST": 0.9, "generated digits": 0.8}  # share of the stored digits

# From when an event happened to when the frame that shows it is over; of those that happen from here on.
WATCH = """() => { window.latencies = []; let last = `${Date.now() / 1000}`;
    new MutationObserver(() => { const at = document.getElementById('main').dataset.at;
        if (Number(at) <= Number(last)) return;
        last = at;
        requestAnimationFrame(() => setTimeout(() => latencies.push(Date.now() / 1000 - Number(at))));
    }).observe(document.getElementById('main'), {attributes: true, attributeFilter: ['data-at']}); }"""
# From when the pen is lifted to when the answer to the whole drawing is shown.
TIME_ANSWERS = """() => { window.answers = []; let from = 0; const digits = document.getElementById('digits');
    document.getElementById('canvas').addEventListener('pointerup', () => from = performance.now(), true);
    new MutationObserver(() => { if (digits.getAttribute('aria-busy') !== 'false' || !from) return;
        const since = from; from = 0;
        requestAnimationFrame(() => setTimeout(() => answers.push((performance.now() - since) / 1000)));
    }).observe(digits, {attributes: true, attributeFilter: ['aria-busy']}); }"""
ANSWERED = "() => document.getElementById('digits').getAttribute('aria-busy') === 'false'"
LABELS = "() => [...document.querySelectorAll('#digits .said .label')].map(label => label.textContent)"
OVERFLOW = "() => document.scrollingElement.scrollWidth - innerWidth"
REPEATED_IDS = """() => { const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
    return ids.filter((id, index) => ids.indexOf(id) !== index); }"""
CUT_TEXT = """() => [...document.querySelectorAll('svg.chart text, .card p')].filter(text => {
    const [box, right] = [text.getBoundingClientRect(), document.documentElement.clientWidth];
    return box.right > right + 0.5 || box.left < 0 || text.tagName === 'P' && text.scrollWidth > text.clientWidth + 1;
}).map(text => text.textContent)"""
NAMELESS = """() => { const all = 'button, select, canvas, iframe, a[href], summary, section, [role=img], [role=region]';
    const referred = element => (element.getAttribute('aria-labelledby') || '').split(' ')
        .map(id => document.getElementById(id)?.textContent ?? '').join('').trim();
    const named = element => element.getAttribute('aria-label') || element.title || element.textContent.trim() ||
        referred(element) || element.labels?.[0]?.textContent.trim();
    return [...document.querySelectorAll(all)].filter(element => element.checkVisibility() && !named(element))
        .map(element => element.outerHTML.slice(0, 80)); }"""
FOCUSABLE = """() => [...document.querySelectorAll('a[href], summary, button:enabled, select, [tabindex="0"]')]
    .filter(element => element.checkVisibility()).length"""
FOCUSED = """() => { const all = [...document.querySelectorAll('*')];
    const element = document.activeElement;
    return element === document.body ? null : [all.indexOf(element), getComputedStyle(element).outlineStyle, element.tagName]; }"""
# What a watcher sees that does not depend on when it came.
SEEN = """() => { const text = what => document.querySelector(what).innerText.replace(/\\s+/g, ' ');
    const lines = [...document.querySelectorAll('svg.chart polyline')].map(line => line.getAttribute('points'));
    return {lines, headline: text('header'), river: text('#river'), processes: text('#rows'), words: text('#ingest-words')}; }"""
# In place of the server, `tell` tells the page of events.
TOLD = """window.EventSource = class extends EventTarget {
        static OPEN = 1; readyState = 1;
        constructor() { super(); window.tell = event => { const data = JSON.stringify({at: Date.now() / 1000, ...event});
            this.dispatchEvent(new MessageEvent('message', {data})); };
            setTimeout(() => tell({})); }
        close() {} };"""
# Rounds that follow each other faster than an answer comes.
QUICK_ROUNDS = TOLD + """let round = 0;
    setInterval(() => window.tell?.(round++ ? {event: 'round', round, test_accuracy: 0.5, test_loss: 1, train_loss: 1}
        : {event: 'training', samples: 1000, partitions: 1, first_round: 1, rounds: 1e9}), 40);
    const ask = fetch;
    window.fetch = async (...what) => { const answer = await ask(...what);
        if (/digits$/.test(what[0])) await new Promise(done => setTimeout(done, 200));
        return answer; };"""
MOVING = "() => document.getAnimations().filter(one => one.playState === 'running' && one.animationName).length"


def say(what):
    print(what, flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Program:
    """A program that serves a page, and the address that it prints."""

    def __init__(self, *command):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.lines = []
        self.address = None
        self.printed = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        if not self.printed.wait(60) or not self.address:
            self.stop()
            sys.exit(f"no address was printed by {command}:\n" + "\n".join(self.lines))

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            found = re.search(r"http://\S+/\?token=\S+", line)
            if found and not self.address:
                self.address = found[0]
                self.printed.set()
        self.printed.set()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Watcher:
    """A page in a browser of its own, and what it loads and complains about."""

    def __init__(self, browser, address, width=1440, scheme="light", script="", **settings):
        height = {390: 844, 768: 1024}.get(width, 900)
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **settings)
        self.context.add_init_script(script)
        self.page = self.context.new_page()
        self.page.set_default_timeout(LIMIT)
        self.complaints, self.requests, self.sizes = [], [], {}
        self.page.on("console", self.hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", self.weigh)
        self.home = urllib.parse.urlsplit(address).netloc
        self.responses = []
        self.page.goto(address, wait_until="load")
        self.page.wait_for_function("() => document.getElementById('main').dataset.at > 0")

    def hear(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def weigh(self, response):
        path = urllib.parse.urlsplit(response.url).path
        if response.status == 200 and not path.endswith("/events") and not path.endswith("/digits"):
            self.responses.append((path, response))

    def weight(self):
        """Bytes of all that was loaded, unpacked, by path."""
        return {path: len(response.body()) for path, response in self.responses if not response.url.startswith("data:")}

    def foreign(self):
        elsewhere = lambda url: not url.startswith("data:") and urllib.parse.urlsplit(url).netloc != self.home
        return [url for url in self.requests if elsewhere(url)]

    def wait(self, what, condition, argument=None, limit=LIMIT):
        """Whether it comes to be, in the time that there is."""
        try:
            self.page.wait_for_function(condition, arg=argument, timeout=limit)
            check(what, True)
            return True
        except Late:
            check(what, False, self.page.evaluate("document.body.innerText.slice(0, 1500)"))
            return False

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def shoot(self, shots, name, **how):
        if shots:
            self.page.screenshot(path=str(shots / f"{name}.png"), **how)

    def close(self, but=()):
        """Ends it, and checks that it was quiet."""
        complaints = [one for one in self.complaints if not any(word in one for word in but)]
        check("no complaint in the console", not complaints, complaints)
        check("no request to elsewhere", not self.foreign(), self.foreign())
        self.context.close()


# A card of the pipeline by its name.
CARD = """name => [...document.querySelectorAll('.card')].find(card => card.querySelector('.title').textContent === name)"""
NEWS = """word => { const list = document.getElementById('troubles');
    return list.checkVisibility() && list.textContent.includes(word); }"""
ROW = """name => [...document.querySelectorAll('#rows .process')].find(row => row.cells[0].textContent === name)"""
FINISHED = "() => document.getElementById('words').textContent === 'finished'"
REPORTED = "() => document.querySelector('iframe')?.clientHeight > 2000"


def card_is(state, word):
    """Whether a card stands so, by its class and in words."""
    holds = f"card?.classList.contains('{state}') && card.innerText.includes('{word}')"
    return f"name => {{ const card = ({CARD})(name); return {holds}; }}"


def watch_a_run(browser, bin_dir, work, data, page_flags, shots):
    """A run that goes on, with a sender that is killed; its folder."""
    run = work / "run"
    flags = ["--senders", "3", "--samples-per-batch", "100", "--batch-delay", "100ms", "--partitions", "2"]
    places = ["--dir", work / "chunks", "--run-dir", run, "--key", work / "key"]
    command = [bin_dir / "orchestrator", *flags, *data, *places, *page_flags, "--page-linger", "10min"]
    with Program(*command) as program:
        early = Watcher(browser, program.address)
        page = early.page
        page.evaluate(WATCH)
        still = Watcher(browser, program.address, reduced_motion="reduce")
        acknowledged = f"name => Number(({CARD})(name)?.querySelector('.value').textContent.replace(',', '')) >= 500"
        early.wait("samples of a sender are seen", acknowledged, "sender-1")
        early.wait("something moves", f"() => ({MOVING})() > 0")
        check("nothing moves for who wants no motion", still.page.evaluate(MOVING) == 0, still.page.evaluate(MOVING))
        still.close()
        early.shoot(shots, "streaming-1440-light")
        cell = lambda place: page.evaluate(f"name => ({ROW})(name).cells[{place}].textContent", "sender-1")
        pid = cell(2)
        draw(page, STORED[7])
        early.wait("who draws too soon is told so", "() => /no model yet/.test(document.getElementById('model').textContent)")
        os.kill(int(pid), signal.SIGKILL)
        killed = time.monotonic()
        early.wait("a sender that is killed is seen", card_is("down", "killed"), "sender-1")
        early.wait("and said", NEWS, "killed")
        say(f"a killed sender is shown {time.monotonic() - killed:.2f} s later")
        early.shoot(shots, "killed-1440-light")
        early.wait("it is seen coming back", card_is("back", "is back"), "sender-1")
        check("its restart is counted, its process is another", cell(3) == "1" and cell(2) != pid, [cell(2), cell(3)])
        early.wait("it ends its share", card_is("done", "done"), "sender-1")
        trains = "() => /^(training|averaging)/.test(document.getElementById('words').textContent)"
        early.wait("rounds are trained", trains)
        early.shoot(shots, "training-1440-light")
        early.wait("a round is seen", "() => document.querySelectorAll('#accuracy .mark').length >= 1")
        late = Watcher(browser, program.address, width=390, scheme="dark")
        late.shoot(shots, "training-390-dark")
        # Who draws while the run goes on is answered by ever newer models.
        draw(late.page, STORED[7])
        late.page.wait_for_function(ANSWERED)
        first = late.text("#model")
        check("a model of a round answers", re.search(r"round \d|final model", first) is not None, first)
        for watcher in early, late:
            watcher.wait("the end is seen", FINISHED)
            watcher.wait("and the report", REPORTED)
        check("what was drawn too soon is answered after all", page.evaluate(LABELS) == ["7"], page.evaluate(LABELS))
        late.wait("the drawing is asked again", "first => document.getElementById('model').textContent !== first", first)
        say(f"the drawing was answered thus: {first} Then: {late.text('#model')}")
        words = [frame.evaluate("document.body.textContent") for frame in page.frames]
        mean, reported = (float(re.search(r"On average ([\d,]+) samples", text)[1].replace(",", "")) for text in words)
        check("the page and the report tell of one mean rate", abs(mean / reported - 1) < 0.02, [mean, reported])
        page.wait_for_timeout(800)
        one, other = early.page.evaluate(SEEN), late.page.evaluate(SEEN)
        for name in one:
            check(f"who came late sees the same {name}", one[name] == other[name], [one[name], other[name]])
        latencies = sorted(page.evaluate("latencies"))
        if latencies:
            p95 = latencies[int(0.95 * (len(latencies) - 1))]
            say(f"from an event to its pixel: median {1000 * statistics.median(latencies):.0f} ms, "
                f"95 of 100 within {1000 * p95:.0f} ms, at most {1000 * latencies[-1]:.0f} ms, of {len(latencies)} frames")
            check("an event is a pixel soon", p95 <= LATENCY, p95)
        check("there were frames to time", len(latencies) > 30, len(latencies))
        sizes = late.weight()
        say(f"loaded: {sum(sizes.values())} bytes, of which report.html {sizes.get('/runs/0/report')}")
        check(f"all that is loaded is at most {BYTES} bytes", 0 < sum(sizes.values()) <= BYTES, sizes)
        check("something was loaded of each kind", {"/page.css", "/page.js", "/report.css", "/runs/0/report"} <= set(sizes), sizes)
        late.close(but=["422"])  # A stroke under way need not be a digit.
        by_tab(browser, program.address)
        program.stop()
        early.wait("a lost connection is said", "() => document.getElementById('lost').checkVisibility()")
        check("and what was there is still shown", "%" in early.text("#figure"), early.text("#figure"))
        early.shoot(shots, "lost-1440-light")
    return run, early


def come_back(browser, bin_dir, run, other, page_flags, kept):
    """The server is another program, and then one with another token."""
    with Program(bin_dir / "trainer", "page", run, other, *page_flags) as program:
        kept.wait("the page connects again by itself", "() => !document.getElementById('lost').checkVisibility()")
        kept.wait("and shows the run", f"() => ({FINISHED})() && /%/.test(document.getElementById('figure').textContent)")
        watcher = Watcher(browser, program.address)
        before = watcher.text("#figure")
        check("of two runs one can be chosen", watcher.page.locator("#runs option").count() == 2)
        watcher.page.select_option("#runs", index=1)
        other_figure = "before => ![before, '–'].includes(document.getElementById('figure').textContent)"
        watcher.wait("the other one is shown", other_figure, before)
        watcher.wait("to its end", FINISHED)
        check("and it was live", "fading" in watcher.text("#what"), watcher.text("#what"))
        watcher.close()
    kept.wait("it is lost again", "() => document.getElementById('lost').checkVisibility()")
    without_token = [flag for flag in page_flags if "token" not in str(flag)]
    with Program(bin_dir / "trainer", "page", run, *without_token):
        said = "() => document.getElementById('lost').textContent.includes('Open the address that was printed')"
        kept.wait("another token is said", said)
    kept.close(but=["Failed to load resource", "net::ERR"])


def watch_live(browser, bin_dir, work, data, shots):
    """A live run with drift; its folder."""
    run = work / "live"
    flags = ["--live", "--samples", "10000", "--samples-per-round", "1000", "--drift", "rotate:90@5000", "--senders", "2"]
    flags += ["--partitions", "3"]  # None of which has as many samples as another.
    places = ["--dir", work / "live-chunks", "--run-dir", run, "--key", work / "key"]
    page_flags = ["--page", "127.0.0.1:0", "--page-linger", "10min"]
    with Program(bin_dir / "orchestrator", *flags, *data, *places, *page_flags) as program:
        watcher = Watcher(browser, program.address, width=768)
        figure = "() => document.getElementById('what').textContent.includes('fading')"
        watcher.wait("fading accuracy is the figure of a live run", figure)
        watcher.wait("its end is seen", FINISHED)
        events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
        drifts = {event["round"] for event in events if event["event"] == "drift"}
        marks = watcher.page.locator("#accuracy line.event").count()
        say(f"drifts seen in the live run: {len(drifts)}")
        check("each round with a drift has a rule", len(drifts) > 0 and marks == len(drifts), [marks, drifts])
        states = watcher.page.evaluate("[...document.querySelectorAll('.partitions .state')].map(state => state.textContent)")
        check("every partition is done with its share", states == ["done"] * 3, states)
        watcher.page.wait_for_timeout(500)
        watcher.shoot(shots, "live-768-light", full_page=True)
        watcher.close()
    return run


def watch_a_stop(browser, bin_dir, work, data, shots):
    """A run that is stopped while samples arrive: the server ends with it."""
    places = ["--dir", work / "stopped-chunks", "--run-dir", work / "stopped", "--key", work / "key"]
    flags = ["--samples", "10000", "--samples-per-batch", "10", "--batch-delay", "100ms", "--samples-per-chunk", "50"]
    flags += ["--page", "127.0.0.1:0"]
    with Program(bin_dir / "orchestrator", *flags, *data, *places) as program:
        watcher = Watcher(browser, program.address)
        watcher.wait("samples are seen", "() => /durable/.test(document.getElementById('headline').textContent)")
        hidden = "state => { Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});"
        hidden += "document.dispatchEvent(new Event('visibilitychange')); }"
        at = "() => Number(document.getElementById('main').dataset.at)"
        watcher.page.evaluate(hidden, "hidden")
        # What has come by now is drawn in the next frame.
        watcher.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        before = watcher.page.evaluate(at)
        watcher.page.wait_for_timeout(1000)
        check("a hidden page does not listen", watcher.page.evaluate(at) - before < 0.5, [before, watcher.page.evaluate(at)])
        watcher.page.evaluate(hidden, "visible")
        watcher.wait("and knows all when it is seen again", f"before => ({at})() > before + 0.5", before)
        check("without a word about it", not watcher.page.locator("#lost").is_visible())
        program.stop()
        watcher.wait("that nothing is served any more is said", "() => document.getElementById('lost').checkVisibility()")
        words = "([place, text]) => document.getElementById(place).textContent.includes(text)"
        watcher.wait("why the run ended stays", words, ["words", "ended: stopped"])
        watcher.wait("and that is no alarm twice", words, ["lost", "no more"])
        ticks = watcher.page.locator("#river .sign.done").count()
        check("nothing of it is done or complete", ticks == 0, watcher.text("#river"))
        watcher.shoot(shots, "stopped-1440-light")
        watcher.close(but=["Failed to load resource", "net::ERR"])


def tell_by_hand(browser, address):
    """What a run shows too shortly to be seen for sure. The address is of no run."""
    watcher = Watcher(browser, f"{address}#100%", script=TOLD)
    page = watcher.page
    trainer = {"child": "trainer"}
    told = lambda *events: page.evaluate("events => events.forEach(tell)", list(events))
    states = "part => [...document.querySelectorAll(`.${part} .state`)].map(state => state.textContent).join()"
    is_so = f"([part, expected]) => ({states})(part) === expected"
    stand = lambda part, expected: watcher.wait(f"{part}: {expected}", is_so, [part, expected], limit=5_000)
    told({"event": "plan", "name": "told", "senders": 2, "samples": 0, "partitions": 3, "rounds": 0, "live": True})
    stand("directory", "empty")
    check("a directory without chunks has no squares", not page.locator(".squares").is_visible())
    # A live run goes on when all is durable: only its trainer tells of it.
    rounds = [{"event": "round", "round": round, "test_accuracy": 0.5, "test_loss": 1, "train_loss": 1,
               "prequential": {"accuracy": 0.6, "loss": 1, "fading_accuracy": 0.48}} for round in (1, 2)]
    told(trainer | {"event": "started", "pid": 1}, trainer | {"event": "live", "partitions": 3, "first_round": 3})
    told(*({"event": "drift", "round": round, "seq": round} for round in (1, 2)), *rounds)
    told({"event": "slice", "round": 3, "position": 3000, "behind_samples": 4000, "behind_seconds": 1})
    stand("senders", "done,done")
    stand("receiver", "complete")
    stand("directory", "4,000 untrained")
    directory = watcher.text(".directory .value")
    check("all that is durable is counted", directory == "7,000", directory)
    headline = " ".join(watcher.text("#headline").split())
    check("the drifts are those of before, too", "drifts seen 2" in headline, headline)
    told({"event": "progress", "round": 3, "samples": 767, "of": 1000, "partitions": [334, 333, 100]})
    stand("partitions", "done,done,trains")
    told({"event": "progress", "round": 3, "samples": 1000, "of": 1000, "partitions": [334, 333, 333]})
    stand("average", "averages")
    told(trainer | {"event": "ended", "ok": False, "status": "signal: 9 (SIGKILL)"})
    stand("average", "waits")
    stand("partitions", ",".join(["killed (SIGKILL)"] * 3))
    watcher.close()


def draw_while_rounds_are_quick(browser, address):
    watcher = Watcher(browser, address, script=QUICK_ROUNDS)
    watcher.wait("a round of many is seen", "() => document.querySelectorAll('#accuracy .mark').length > 1")
    draw(watcher.page, STORED[7])
    answered = f"() => ({LABELS})().join() === '7'"
    watcher.wait("who draws while rounds are quick is answered", answered, limit=20_000)
    watcher.close(but=["422"])


def clear_under_a_stroke(browser, address):
    watcher = Watcher(browser, address)
    page, move = watcher.page, watcher.page.mouse.move
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    for button in "clear", "undo":
        move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        move(box["x"] + 250, box["y"] + 250, steps=5)
        page.evaluate("button => document.getElementById(button).click()", button)
        move(box["x"] + 50, box["y"] + 250, steps=5)
        page.mouse.up()
        watcher.wait(f"nothing is awaited after {button}", ANSWERED, limit=20_000)
        check(f"{button} ends the stroke under way", page.evaluate(LABELS) == ["?"] and page.locator("#hint").is_visible())
    # A dot, while the answer to what was cleared is awaited.
    draw(page, STORED[7])
    page.evaluate("document.getElementById('clear').click()")
    draw(page, [[280, 280]])
    watcher.wait("what is drawn after it is answered", ANSWERED, limit=20_000)
    said = watcher.text("#model")
    check("and asked of the model", "while you draw" not in said, said)
    watcher.close(but=["422"])


def draw(page, strokes):
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    place = lambda x, y: (box["x"] + x * box["width"] / SIDE, box["y"] + y * box["height"] / SIDE)
    for stroke in strokes:
        points = [place(x, y) for x, y in zip(stroke[::2], stroke[1::2])]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def by_finger(browser, address, shots):
    """A phone: a finger draws, and does not move the page."""
    watcher = Watcher(browser, address, width=390, has_touch=True, is_mobile=True, device_scale_factor=3)
    page, finger = watcher.page, watcher.context.new_cdp_session(watcher.page)
    page.locator("#canvas").scroll_into_view_if_needed()
    touch = lambda kind, *points: finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})
    before, box = page.evaluate("scrollY"), page.locator("#canvas").bounding_box()
    for stroke in STORED[4]:
        unit = box["width"] / SIDE
        points = [{"x": box["x"] + x * unit, "y": box["y"] + y * unit} for x, y in zip(stroke[::2], stroke[1::2])]
        touch("touchStart", points[0])
        for point in points[1:]:
            touch("touchMove", point)
        touch("touchEnd")
    page.wait_for_function(ANSWERED)
    check("a 4 drawn by a finger is a 4", page.evaluate(LABELS) == ["4"], page.evaluate(LABELS))
    check("and the page stays where it is", page.evaluate("scrollY") == before, page.evaluate("scrollY"))
    size = "() => [document.getElementById('canvas').width, document.getElementById('canvas').height]"
    check("a dense screen draws the same picture", page.evaluate(size) == [SIDE, SIDE], page.evaluate(size))
    watcher.shoot(shots, "finger-390-light")
    watcher.close()


def long_curves(browser, address):
    """A chart of more points than any run of a day has."""
    watcher = Watcher(browser, address)
    took = watcher.page.evaluate("""async () => { const { chart } = await import('/chart.js');
        const points = Array.from({length: 5000}, (_, index) => [index + 1, Math.sin(index / 99) + index / 5000]);
        const place = document.createElement('div');
        const lines = ['s1', 's2', 's3'].map(name => ({name, class: name, points}));
        const draw = () => chart(place, {id: 'x', title: 'x', description: 'x', axis: 'x', rounds: true, lines});
        draw();
        const since = performance.now();
        for (let turn = 0; turn < 10; turn++) draw();
        return (performance.now() - since) / 10; }""")
    say(f"a chart of three lines of 5000 points is drawn in {took:.1f} ms")
    check("long curves are cheap", took < 1000, took)
    watcher.close()


def draw_all(browser, address, what, shots):
    watcher = Watcher(browser, address)
    page = watcher.page
    page.evaluate(TIME_ANSWERS)
    stored = json.loads(STROKES.read_text())
    wrong = []
    for index, one in enumerate(stored):
        draw(page, one["strokes"])
        watcher.page.wait_for_function(ANSWERED)
        labels = page.evaluate(LABELS)
        if labels != [str(one["digit"])]:
            wrong.append(f"a {one['digit']} of the {one['hand']} hand ({one['way']}) is taken for {' '.join(labels)}")
        if index == 28:
            watcher.shoot(shots, "drawn-1440-light")
        page.click("#clear")
    right = len(stored) - len(wrong)
    say(f"{right} of {len(stored)} stored digits are right, with a model trained on {what}")
    for one in wrong:
        say(f"  {one}")
    check(f"at least {RIGHT[what]:.0%} of the stored digits are right", right >= RIGHT[what] * len(stored), right)
    times = sorted(page.evaluate("answers"))
    median, most = 1000 * statistics.median(times), 1000 * times[-1]
    say(f"from the end of a stroke to its answer: median {median:.0f} ms, at most {most:.0f} ms, of {len(times)}")
    check("an answer comes soon", statistics.median(times) <= ANSWER, times)
    # Two digits; undone, and cleared.
    by_hand = {one["digit"]: one["strokes"] for one in stored if one["hand"] == "small"}
    for digit, dx in (4, -280), (2, 30):
        draw(page, [[value + dx * (index % 2 == 0) for index, value in enumerate(stroke)] for stroke in by_hand[digit]])
    page.wait_for_function(ANSWERED)
    check("two digits are told apart", len(page.evaluate(LABELS)) == 2, page.evaluate(LABELS))
    watcher.shoot(shots, "two-1440-light")
    page.click("#undo")
    page.wait_for_function(ANSWERED)
    check("undo takes the second one away", len(page.evaluate(LABELS)) == 1, page.evaluate(LABELS))
    page.click("#clear")
    check("a cleared paper has no answer", page.evaluate(LABELS) == ["?"], page.evaluate(LABELS))
    draw(page, [[280, 280]])
    page.wait_for_function(ANSWERED)
    check("a dot is answered somehow", page.evaluate("document.getElementById('model').textContent.length") > 10)
    watcher.close(but=["422"])


def examine(browser, address, width, scheme, shots):
    where = f"{width} {scheme}"
    watcher = Watcher(browser, address, width, scheme)
    page = watcher.page
    watcher.wait(f"{where}: the report is there", REPORTED)
    page.wait_for_timeout(300)
    watcher.shoot(shots, f"finished-{width}-{scheme}", full_page=True)
    check(f"{where}: nothing is wider than the screen", page.evaluate(OVERFLOW) <= 0, page.evaluate(OVERFLOW))
    frame = page.frames[1]
    check(f"{where}: nor is the report wider than its frame", frame.evaluate(OVERFLOW) <= 0, frame.evaluate(OVERFLOW))
    hidden = "() => document.scrollingElement.scrollHeight - innerHeight"
    check(f"{where}: the report is shown to its end", frame.evaluate(hidden) <= 1, frame.evaluate(hidden))
    check(f"{where}: no text is cut", not page.evaluate(CUT_TEXT), page.evaluate(CUT_TEXT))
    check(f"{where}: no identifier twice", not page.evaluate(REPEATED_IDS), page.evaluate(REPEATED_IDS))
    check(f"{where}: everything has a name", not page.evaluate(NAMELESS), page.evaluate(NAMELESS))
    check(f"{where}: one h1, one main", page.evaluate("['h1', 'main'].every(one => document.querySelectorAll(one).length === 1)"))
    grounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(part) for part in grounds.removeprefix("rgb(").rstrip(")").split(",")) < 3 * 128
    check(f"{where}: the ground has the scheme's colour", dark == (scheme == "dark"), grounds)
    check(f"{where}: nothing moves any more", page.evaluate(MOVING) == 0, page.evaluate(MOVING))
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    check(f"{where}: nor wider with all logs open", page.evaluate(OVERFLOW) <= 0, page.evaluate(OVERFLOW))
    watcher.close()


def by_keys(browser, address, shots):
    watcher = Watcher(browser, address)
    page = watcher.page
    watcher.wait("the report is there", REPORTED)
    press = page.keyboard.press
    for _ in range(10):
        press("Tab")
        if page.evaluate("document.activeElement.id") == "canvas":
            break
    check("Tab reaches the paper", page.evaluate("document.activeElement.id") == "canvas")
    check("its pen is seen", page.locator("#pen").is_visible())
    # A 1: from a little above, straight down.
    press("Space")
    for _ in range(22):
        press("ArrowDown")
    press("Space")
    page.wait_for_function(ANSWERED)
    check("a 1 drawn by keys is a 1", page.evaluate(LABELS) == ["1"], page.evaluate(LABELS))
    said = page.evaluate("document.getElementById('said').textContent")
    check("and it is said", "1" in said, said)
    watcher.shoot(shots, "keys-1440-light")
    press("Tab")
    check("after the paper comes Clear", page.evaluate("document.activeElement.id") == "clear")
    press("Tab")
    check("then Undo", page.evaluate("document.activeElement.id") == "undo")
    press("Enter")
    page.wait_for_function("() => document.getElementById('undo').disabled")
    check("which can be pressed", page.evaluate(LABELS) == ["?"])
    watcher.close()


def by_tab(browser, address):
    """Whether all is reached by Tab, from the top to the report."""
    watcher = Watcher(browser, address)
    watcher.wait("the report is there", REPORTED)
    expected, reached, visible = watcher.page.evaluate(FOCUSABLE), set(), True
    for _ in range(expected + 5):
        watcher.page.keyboard.press("Tab")
        focused = watcher.page.evaluate(FOCUSED)
        if focused is None or focused[0] in reached or focused[2] == "IFRAME":
            break
        reached.add(focused[0])
        visible &= focused[1] != "none"
    check(f"Tab reaches all of {expected}", len(reached) >= expected > 2, [len(reached), expected])
    check("the focus can be seen", visible)
    watcher.close()


def main():
    bin_dir, work, shots = sys.argv[1:4]
    bin_dir, work = pathlib.Path(bin_dir).resolve(), pathlib.Path(work).resolve()
    shots = pathlib.Path(shots) if shots else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    mnist = pathlib.Path(os.environ.get("MNIST_DIR", "data/mnist"))
    what = "MNIST" if any(mnist.glob("train-images*")) else "generated digits"
    data = ["--data", mnist] if what == "MNIST" else ["--dataset", "generated"]
    page_flags = ["--page", f"127.0.0.1:{free_port()}", "--page-token", work / "token"]
    with sync_playwright() as playwright, contextlib.ExitStack() as stack:
        browser = launch(playwright)
        stack.callback(browser.close)
        live = watch_live(browser, bin_dir, work, data, shots)
        watch_a_stop(browser, bin_dir, work, data, shots)
        run, kept = watch_a_run(browser, bin_dir, work, data, page_flags, shots)
        come_back(browser, bin_dir, run, live, page_flags, kept)
        with Program(bin_dir / "trainer", "page", run, "--page", "127.0.0.1:0") as program:
            draw_all(browser, program.address, what, shots)
            by_keys(browser, program.address, shots)
            by_finger(browser, program.address, shots)
            long_curves(browser, program.address)
            tell_by_hand(browser, program.address)
            draw_while_rounds_are_quick(browser, program.address)
            clear_under_a_stroke(browser, program.address)
            for width in WIDTHS:
                for scheme in SCHEMES:
                    examine(browser, program.address, width, scheme, shots)
    return verdict()


if __name__ == "__main__":
    sys.exit(main())
