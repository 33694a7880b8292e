"""Pages in a real browser: tables and charts answer, nothing is said on the console, and axe finds nothing."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from site_helpers import BOARDS, OLDER, digits

from dynvit.site import build_site
from dynvit.site.source import Source, sources_in

pytestmark = pytest.mark.slow
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
if DRIVER is None or BROWSER is None:
    pytest.skip("chromium and chromedriver are not on PATH", allow_module_level=True)

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

WIDTHS, THEMES = (360, 820, 1400), ("light", "dark")


SHOWN = {source.name: source for source in (digits(), *sources_in([OLDER / "cifar10.json"]))}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(list(SHOWN.values()), tmp_path_factory.mktemp("browser") / "site").folder


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def chromium(downloads: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(DRIVER)) as opened:
        yield opened


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """The browser, on no page; afterwards nothing may have been said on its console."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    shown_as(chromium, 1400, "light")
    yield chromium
    assert chromium.get_log("browser") == []


def shown_as(browser: Any, width: int, theme: str) -> None:
    scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def until(browser: Any, condition: Callable[[Any], Any]) -> Any:
    return WebDriverWait(browser, 20, 0.05).until(condition)


def drawn(browser: Any) -> str:
    """What the chart shows: how many points, and of which axes."""
    return until(browser, lambda b: b.find_element(By.ID, "front").get_attribute("data-drawn"))


def open_board(browser: Any, site: Path, name: str = "digits", view: str = "") -> None:
    browser.get("about:blank")
    browser.get((site / name / "index.html").as_uri() + view)
    drawn(browser)


def open_entry(browser: Any, site: Path, name: str) -> None:
    entry = next(e for e in SHOWN[name].board.entries if e.measurements or name == "digits")
    page = site / name / "entries" / f"{entry.record_id}.html"
    assert page.is_file()
    browser.get(page.as_uri())
    if entry.measurements:
        until(browser, lambda b: b.find_element(By.TAG_NAME, "html").get_attribute("data-drawn"))


def head(browser: Any, text: str) -> Any:
    return next(th for th in browser.find_elements(By.CSS_SELECTOR, "#entries thead th") if th.text.startswith(text))


def cells(browser: Any, text: str) -> list[str]:
    """A column of the rows that are shown."""
    place = browser.find_elements(By.CSS_SELECTOR, "#entries thead th").index(head(browser, text))
    rows = "[...document.querySelectorAll('#entries tbody tr:not(.more)')]"
    script = f"return {rows}.map((row) => row.cells[arguments[0]].innerText)"
    return list(browser.execute_script(script, place))


def chip(browser: Any, method: str) -> Any:
    return next(one for one in browser.find_elements(By.CSS_SELECTOR, ".chip") if one.text == method)


def test_a_column_sorts_best_first_then_the_other_way_and_says_so(browser: Any, site: Path) -> None:
    open_board(browser, site)
    for column, first in (("top-1 %", "descending"), ("GMACs", "ascending")):
        head(browser, column).find_element(By.TAG_NAME, "button").click()
        assert head(browser, column).get_attribute("aria-sort") == first
        numbers = [float(text.split()[0]) for text in cells(browser, column)]
        assert numbers == sorted(numbers, reverse=first == "descending")
        head(browser, column).find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
        numbers = [float(text.split()[0]) for text in cells(browser, column)]
        assert numbers == sorted(numbers, reverse=first == "ascending"), "the keyboard sorts too"
    assert len(browser.find_elements(By.CSS_SELECTOR, "th[aria-sort]")) == 1
    assert cells(browser, "top-5 %")[0] != "", "what has no number stands last"


def test_rows_are_filtered_by_method_division_tier_and_words_and_the_chart_follows(browser: Any, site: Path) -> None:
    open_board(browser, site)
    chip(browser, "dvt").click()
    chip(browser, "topk").click()
    assert set(cells(browser, "method")) == {"dvt", "topk"}
    until(browser, lambda b: drawn(b).startswith(f"{len(cells(b, 'method'))} points"))
    chip(browser, "topk").click()
    assert set(cells(browser, "method")) == {"dvt"}
    browser.find_element(By.CSS_SELECTOR, "#filters [type=reset]").click()
    until(browser, lambda b: len(cells(b, "method")) == 46)
    for facet, value in (("tier", "a paper's claim"), ("division", "fine-tuned"), ("backbone", "vit_digits")):
        Select(browser.find_element(By.NAME, facet)).select_by_visible_text(value)
        if facet != "backbone":
            assert set(cells(browser, facet)) == {value}
        Select(browser.find_element(By.NAME, facet)).select_by_visible_text("all")
    browser.find_element(By.NAME, "text").send_keys("KEEP 0.5")
    assert cells(browser, "point")
    assert all("keep_ratio" in point or "0.5" in point for point in cells(browser, "point"))
    browser.find_element(By.NAME, "front").click()
    assert set(cells(browser, "front")) <= {"●", "○"}
    browser.find_element(By.NAME, "text").send_keys("zzz")
    assert browser.find_element(By.ID, "count").text == "0 of 46 rows"
    until(browser, lambda b: drawn(b).startswith("0 points"))


def test_other_axes_are_drawn_and_a_view_is_an_address(browser: Any, site: Path) -> None:
    open_board(browser, site, "cifar10")
    assert drawn(browser) == "47 points: gmacs_mean, top1_pct"
    Select(browser.find_element(By.NAME, "x")).select_by_visible_text("images/s, batch 64")
    Select(browser.find_element(By.NAME, "y")).select_by_visible_text("robust accuracy at L∞ 1/255, percent")
    wanted = "robustness.accuracy_pct.linf.0.00392157"
    until(browser, lambda b: drawn(b).startswith("8 points: speed.images_per_s.64") and drawn(b).endswith(wanted))
    chip(browser, "mia").click()
    until(browser, lambda b: not drawn(b).startswith("8 points"))
    shown, address = drawn(browser), browser.current_url
    open_board(browser, site, "cifar10", "#" + address.partition("#")[2])
    assert drawn(browser) == shown
    assert set(cells(browser, "method")) == {"mia"}


def test_a_point_tells_its_settings_and_opens_its_page(browser: Any, site: Path) -> None:
    open_board(browser, site)
    point = browser.find_elements(By.CSS_SELECTOR, "#front .mark-symbol path")[1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    said = until(browser, lambda b: tip_over(b, point))
    assert "threshold_1 = 0.686" in said
    assert "top-1 accuracy, percent: 97.77 [95.67, 98.87]" in said
    webdriver.ActionChains(browser).move_to_element(point).click().perform()
    until(browser, lambda b: "/entries/" in b.current_url)
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("dvt")


def tip_over(browser: Any, point: Any) -> str:
    """What is said of a point under the pointer, which comes back to it: a page that still scrolls moves the point."""
    webdriver.ActionChains(browser).move_by_offset(3, 3).move_to_element(point).perform()
    return browser.find_element(By.ID, "tip").text


def test_a_papers_row_is_hollow(browser: Any, site: Path) -> None:
    open_board(browser, site)
    points = browser.find_elements(By.CSS_SELECTOR, "#front .mark-symbol path")
    assert [p.get_attribute("fill-opacity") for p in points if p.get_attribute("fill-opacity") == "0"] == ["0"]


def test_seeds_are_drawn_as_spread(browser: Any, site: Path) -> None:
    open_board(browser, site)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#front .mark-rule line[stroke-width='9']")) == 2
    chip(browser, "topk").click()
    until(browser, lambda b: not b.find_elements(By.CSS_SELECTOR, "#front .mark-rule line[stroke-width='9']"))


def test_an_entry_has_its_evidence_and_pictures(browser: Any, site: Path) -> None:
    open_entry(browser, site, "digits")
    assert browser.execute_script("return document.querySelector('.bits img').naturalWidth") > 10
    open_entry(browser, site, "cifar10")
    assert len(browser.find_elements(By.CSS_SELECTOR, "[data-picture] svg")) >= 3


def test_boards_are_chosen_on_the_index(browser: Any, site: Path) -> None:
    browser.get((site / "index.html").as_uri())
    Select(browser.find_element(By.NAME, "backbone")).select_by_visible_text("vit_digits")
    assert [card.text for card in browser.find_elements(By.CSS_SELECTOR, ".card h2") if card.is_displayed()] == [
        "digits"
    ]
    browser.find_element(By.LINK_TEXT, "digits").click()
    assert drawn(browser)


def test_board_chart_and_view_are_downloaded(browser: Any, site: Path, downloads: Path) -> None:
    open_board(browser, site)
    browser.find_element(By.CSS_SELECTOR, "[data-save=svg]").click()
    browser.find_element(By.CSS_SELECTOR, "[data-save=json]").click()
    names = ("digits-view.svg", "digits-view.vl.json")
    until(browser, lambda _: all((downloads / name).is_file() for name in names))
    assert (downloads / names[0]).read_bytes().startswith(b"<svg")
    assert len(json.loads((downloads / names[1]).read_text())["datasets"]["rows"]) == 46
    for kind in ("json", "csv", "svg", "vl.json", "per_sample.jsonl"):
        link = browser.find_element(By.CSS_SELECTOR, f".downloads a[download='digits.{kind}']")
        assert Path(link.get_attribute("href").removeprefix("file://")).is_file()


def test_the_theme_is_the_systems_until_it_is_chosen(browser: Any, site: Path) -> None:
    shown_as(browser, 1400, "dark")
    open_board(browser, site)
    background = "return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(background) == "rgb(22, 24, 29)"
    browser.find_element(By.ID, "theme").click()
    assert browser.execute_script(background) == "rgb(255, 255, 255)"
    browser.refresh()
    drawn(browser)
    assert browser.execute_script(background) == "rgb(255, 255, 255)", "the choice is kept"
    browser.execute_script("localStorage.clear()")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways_and_axe_finds_nothing(width: int, theme: str, browser: Any, site: Path) -> None:
    axe = os.environ.get("DYNVIT_AXE")
    opened = (
        lambda: browser.get((site / "index.html").as_uri()),
        lambda: open_board(browser, site),
        lambda: open_board(browser, site, "cifar10"),
        lambda: open_entry(browser, site, "digits"),
        lambda: open_entry(browser, site, "cifar10"),
    )
    shown_as(browser, width, theme)
    for number, open_page in enumerate(opened):
        open_page()
        sideways = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, browser.current_url
        if os.environ.get("DYNVIT_SCREENSHOTS"):
            picture = Path(os.environ["DYNVIT_SCREENSHOTS"]) / f"{number}-{width}-{theme}.png"
            browser.save_screenshot(str(picture))
        if axe is not None:
            browser.execute_script(Path(axe).read_text(encoding="utf-8"))
            script = "const done = arguments[0]; axe.run({preload: false}).then((found) => done(found.violations))"
            violations = browser.execute_async_script(script)
            said = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in violations]
            assert said == [], browser.current_url
    if axe is None:
        pytest.skip("DYNVIT_AXE does not name axe.min.js: pages do not scroll sideways, axe was not asked")


def test_a_board_of_many_entries_is_used_like_a_small_one(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BOARDS.parent / "benchmarks")
    many = importlib.import_module("site_size").many
    [source] = sources_in([BOARDS / "digits.json"])
    folder = build_site([Source("many", many(source.board, 2000))], tmp_path / "site").folder
    open_board(browser, folder, "many")
    assert browser.find_element(By.ID, "count").text == "2,000 of 2,000 rows, the first 100 shown"
    head(browser, "top-1 %").find_element(By.TAG_NAME, "button").click()
    assert cells(browser, "top-1 %")[0] >= cells(browser, "top-1 %")[-1]
    browser.find_element(By.ID, "all").click()
    assert len(cells(browser, "method")) == 2000
