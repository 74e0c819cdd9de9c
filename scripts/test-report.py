"""The checks of scripts/test-report: one report in one browser, at each width and in each colour scheme."""

import pathlib
import sys

from browser import check, launch, verdict
from playwright.sync_api import sync_playwright

WIDTHS = [390, 768, 1440]
SCHEMES = ["light", "dark"]
LIMIT = 20_000  # milliseconds, for whatever the browser does

NAMELESS_PICTURES = """() => [...document.querySelectorAll('[role=img]')].filter(picture => {
    const ids = (picture.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean);
    const name = picture.getAttribute('aria-label') ||
        ids.map(id => document.getElementById(id)?.textContent || '').join('');
    return !name.trim();
}).length"""
BAD_IMAGES = "() => [...document.images].filter(image => !image.naturalWidth || !image.alt.trim()).length"
REPEATED_IDS = """() => { const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
    return ids.filter((id, index) => ids.indexOf(id) !== index); }"""
CUT_TEXT = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
    const right = document.documentElement.clientWidth;
    return [...chart.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.right > right + 0.5 || box.left < 0;
    }).map(text => text.textContent);
})"""
# What the keyboard can reach: of closed details only their summaries.
FOCUSABLE = """() => [...document.querySelectorAll('a[href], summary, [tabindex="0"]')]
    .filter(element => element.tagName === 'SUMMARY' || element.checkVisibility({contentVisibilityAuto: true})).length"""
FOCUSED = """() => { const all = [...document.querySelectorAll('*')];
    const element = document.activeElement;
    return element === document.body ? null : [all.indexOf(element), getComputedStyle(element).outlineStyle]; }"""


def reached_by_tab(page, expected):
    """The places of all elements that Tab reaches, and whether each shows that it has the focus."""
    reached, visible = set(), True
    for _ in range(expected + 5):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None or focused[0] in reached:
            break
        reached.add(focused[0])
        visible &= focused[1] != "none"
    return reached, visible


def examine(browser, url, width, scheme, shots):
    where = f"{width} {scheme}"
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(LIMIT)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url, wait_until="load")
    if shots:
        page.screenshot(path=str(shots / f"{width}-{scheme}.png"), full_page=True)
    foreign = [address for address in requests if address != url and not address.startswith("data:")]
    check(f"{where}: nothing is loaded", not foreign, foreign)
    overflow = "() => document.scrollingElement.scrollWidth - innerWidth"
    check(f"{where}: nothing is wider than the screen", page.evaluate(overflow) <= 0, page.evaluate(overflow))
    check(f"{where}: every image is there and has a text", page.evaluate(BAD_IMAGES) == 0, page.evaluate(BAD_IMAGES))
    check(f"{where}: there are images", page.evaluate("document.images.length") >= 32)
    check(f"{where}: every picture has a name", page.evaluate(NAMELESS_PICTURES) == 0)
    check(f"{where}: there are charts", page.evaluate("document.querySelectorAll('svg[role=img]').length") >= 3)
    check(f"{where}: no identifier twice", not page.evaluate(REPEATED_IDS), page.evaluate(REPEATED_IDS))
    check(f"{where}: no text of a chart is cut", not page.evaluate(CUT_TEXT), page.evaluate(CUT_TEXT))
    check(f"{where}: one h1", page.evaluate("document.querySelectorAll('h1').length") == 1)
    grounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(part) for part in grounds.removeprefix("rgb(").rstrip(")").split(",")) < 3 * 128
    check(f"{where}: the ground has the scheme's colour", dark == (scheme == "dark"), grounds)
    expected = page.evaluate(FOCUSABLE)
    reached, visible = reached_by_tab(page, expected)
    check(f"{where}: Tab reaches all of {expected}", len(reached) >= expected, len(reached))
    check(f"{where}: the focus can be seen", visible)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    check(f"{where}: nor with all tables open", page.evaluate(overflow) <= 0, page.evaluate(overflow))
    check(f"{where}: no complaint in the console", not complaints, complaints)
    context.close()


def main():
    report, shots = sys.argv[1:3]
    shots = pathlib.Path(shots) if shots else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    url = pathlib.Path(report).resolve(strict=True).as_uri()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for width in WIDTHS:
            for scheme in SCHEMES:
                examine(browser, url, width, scheme, shots)
        browser.close()
    return verdict()


if __name__ == "__main__":
    sys.exit(main())
