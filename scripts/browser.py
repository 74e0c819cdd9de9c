"""What the tests in a real browser share: the browser, and checks that are counted."""

import shutil

passed = failed = 0


def launch(playwright):
    # Chromium's own sandbox does not run as root, which a build server is; the pages are our own.
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"], timeout=60_000)


def check(what, holds, found=""):
    global passed, failed
    if holds:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {what}: {found}")


def verdict():
    """Says how many checks passed; the exit code."""
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
