"""How large the pages of a board of 2,000 entries are, how long they take to make, and to be used in a browser.

python benchmarks/site_size.py [--entries 2000] [--rounds 5]

The entries are the digits board's, again and again at other costs and accuracies. The browser is chromium, without a
window; without it or selenium, sizes alone are told. Interactive: the table can be sorted and filtered.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from _measure import Row, report, run

from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.interval import wilson
from dynvit.report import Board, read_board
from dynvit.report.build import on_front
from dynvit.site import build_site
from dynvit.site.source import Source

BOARD = Path(__file__).parents[1] / "leaderboards" / "digits.json"
MOST_MB, MOST_S, MOST_BUILD_S = 3.0, 1.0, 30.0


def main(entries: int = 2000, rounds: int = 5) -> None:
    """Build the pages once, and open the board's in a new browser --rounds times."""
    board = many(read_board(BOARD), entries)
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        built = build_site([Source("many", board)], Path(place) / "site")
        took = time.perf_counter() - began
        page, assets = built.folder / "many" / "index.html", built.folder / "assets"
        loaded = page.stat().st_size + sum(file.stat().st_size for file in assets.iterdir())
        library = (assets / "vega.js").stat().st_size
        times = opened(page, rounds)
        rows = [
            Row("entries", f"{entries:,}"),
            Row("making all pages", f"{took:.1f} s", f"< {MOST_BUILD_S:g} s", took < MOST_BUILD_S),
            Row("files, in all", f"{built.files:,}, {built.bytes / 1e6:.1f} MB"),
            Row("a page with its library", f"{loaded / 1e6:.2f} MB", f"< {MOST_MB:g} MB", loaded / 1e6 < MOST_MB),
            Row("of this the library", f"{library / 1e6:.2f} MB"),
        ]
        for what, found in times.items():
            middle = statistics.median(found)
            said = f"{middle:.2f} s ({min(found):.2f} to {max(found):.2f})"
            rows.append(Row(what, said, f"< {MOST_S:g} s", middle < MOST_S))
    report("dynvit site", rows)


def many(board: Board, entries: int) -> Board:
    """As many entries as wanted: the board's own at other costs and accuracies, with the fronts that they make."""
    n, made = board.setting.n, []
    for number, entry in enumerate(islice(cycle(board.entries), entries)):
        made.append(entry if number < len(board.entries) else _like(entry, number, n))
    made.sort(key=lambda entry: (entry.method, entry.gmacs_mean, -entry.top1_pct, entry.record_id))
    overall = on_front([(entry.gmacs_mean, entry.top1_pct) for entry in made])
    fronts = [entry.model_copy(update={"on_front": flag}) for entry, flag in zip(made, overall, strict=True)]
    return board.model_copy(update={"entries": tuple(fronts)})


def _like(entry: Entry, number: int, n: int) -> Entry:
    digits = hashlib.sha256(f"{number} {entry.record_id}".encode()).hexdigest()[:16]
    drawn = int(digits, 16) / 16**16
    right = max(round(entry.top1_pct * n / 100) - int(30 * drawn), 0)
    low, high = wilson(right, n)
    return entry.model_copy(
        update={
            "record_id": digits,
            "gmacs_mean": entry.gmacs_mean * (0.9 + 0.1 * drawn),
            "top1_pct": 100 * right / n,
            "top1_ci95_low_pct": low,
            "top1_ci95_high_pct": high,
            "baseline": False,
            "on_method_front": False,
        }
    )


def opened(page: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds from opening the page, in a new browser each time, until the table and the chart are there."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
        from selenium.webdriver.support.ui import WebDriverWait
    except ImportError:
        return {}
    if browser is None or driver is None:
        return {}
    found: dict[str, list[float]] = {"interactive": [], "chart drawn": []}
    for _ in range(rounds):
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,900"):
            options.add_argument(argument)
        with webdriver.Chrome(options=options, service=Service(driver)) as opened_browser:
            opened_browser.get(page.as_uri())
            for what, mark in (("interactive", "dynvit-table"), ("chart drawn", "dynvit-chart")):
                script = f"const at = performance.getEntriesByName('{mark}')[0]; return at && at.startTime"
                seconds = WebDriverWait(opened_browser, 60, 0.1).until(lambda b, asked=script: b.execute_script(asked))
                found[what].append(seconds / 1000)
    return found


if __name__ == "__main__":
    run(main)
