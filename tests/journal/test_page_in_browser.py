"""The page of a run, looked at in a real browser."""

import shutil
import zlib

import anyio
import pytest
from looking import recorded

from llmspell.journal.html_page import page_of
from llmspell.journal.reader import Reader

pytestmark = pytest.mark.skipif(
    not shutil.which("chromedriver"), reason="needs chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    anyio.run(recorded, folder)
    with Reader.open(folder / ".llmspell" / "runs.db") as reader:
        made = page_of(reader, reader.run("last"))
    file = folder / "run.html"
    file.write_text(made, "utf-8")
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    for argument in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--window-size=1200,900", f"--user-data-dir={tmp_path_factory.mktemp('profile')}"),
    ):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def shown(browser, page):
    browser.get(page.as_uri())
    return browser


def rows(browser):
    return [r for r in browser.find_elements("css selector", ".row") if r.is_displayed()]


def test_every_span_has_a_row_and_a_bar_in_its_lane(shown):
    found = rows(shown)
    assert len(found) == 18
    for row in found:
        lane = row.find_element("css selector", ".lane").rect
        bar = row.find_element("css selector", ".bar").rect
        assert lane["width"] > 300
        assert bar["width"] >= 2
        assert lane["x"] - 1 <= bar["x"]
        assert bar["x"] + bar["width"] <= lane["x"] + lane["width"] + 3


def test_bars_stand_where_and_as_long_as_things_took(shown):
    lefts = {
        row.get_attribute("data-path"): row.find_element("css selector", ".bar").rect
        for row in rows(shown)
    }
    assert lefts["0"]["width"] == max(bar["width"] for bar in lefts.values())
    assert lefts["0/2/0"]["x"] < lefts["0/2/2"]["x"]  # the model's second answer
    assert lefts["0.0/1"]["width"] > lefts["0.0/0"]["width"]  # a sleep and a write


def test_what_is_above_the_rows(shown):
    header = shown.find_element("id", "about").text
    assert header.startswith("tea.lua\nrun 20")
    for fact in ("completed", "model calls", "tokens"):
        assert fact in header
    assert shown.title.startswith("tea.lua")


def test_a_row_opens_its_details(shown):
    row = shown.find_element("css selector", '[data-path="0/2/0"]')
    details = row.find_element("xpath", "following-sibling::div[1]")
    assert not details.is_displayed()
    row.click()
    assert details.is_displayed()
    assert "double 4 </script>" in details.text
    assert "Be <brief>." in details.text
    row.click()
    assert not details.is_displayed()


def test_a_part_of_the_tree_is_folded_away(shown):
    agent = shown.find_element("css selector", '[data-path="0/2"]')
    agent.find_element("css selector", ".fold").click()
    assert len(rows(shown)) == 18 - 5
    agent.find_element("css selector", ".fold").click()
    assert len(rows(shown)) == 18


def test_effects_are_found_by_name(shown):
    shown.find_element("id", "find").send_keys("model.request")
    assert len(rows(shown)) == 3


def test_what_failed_is_seen(shown):
    failed = [
        row.text.split("\n")[0] for row in rows(shown) if "error" in row.get_attribute("class")
    ]
    assert len(failed) == 2
    assert all("agent.run" in text or "model.request" in text for text in failed)


def test_the_screenshot_shows_bars_in_the_colours_of_the_key(shown):
    colours = colours_of(shown.get_screenshot_as_png())
    for name in ("--model", "--leaf", "--composite", "--task", "--error"):
        key = shown.execute_script(
            "const e = document.createElement('i'); e.style.color = `var(${arguments[0]})`;"
            "document.body.append(e); const c = getComputedStyle(e).color; e.remove(); return c",
            name,
        )
        red, green, blue = (int(part) for part in key[4:-1].split(","))
        assert (red, green, blue) in colours, name


def test_the_page_reports_no_error(shown):
    assert [entry for entry in shown.get_log("browser") if entry["level"] == "SEVERE"] == []


def colours_of(png):
    """The colours in a PNG of 8-bit RGB or RGBA without interlacing, as Chromium writes them."""
    at, data, width, channels = 8, b"", 0, 3
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width = int.from_bytes(body[:4])
            channels = {2: 3, 6: 4}[body[9]]
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    raw, stride, above = zlib.decompress(data), width * channels, bytes(width * channels)
    found = set()
    for start in range(0, len(raw), stride + 1):
        above = _unfiltered(raw[start], raw[start + 1 : start + 1 + stride], above, channels)
        found.update(zip(above[::channels], above[1::channels], above[2::channels], strict=True))
    return found


def _unfiltered(kind, line, above, step):
    """A line as it was before the filter of PNG, section 9."""
    out = bytearray(line)
    for i in range(len(out)):
        left = out[i - step] if i >= step else 0
        up = above[i]
        corner = above[i - step] if i >= step else 0
        if kind == 1:
            out[i] = (out[i] + left) & 255
        elif kind == 2:
            out[i] = (out[i] + up) & 255
        elif kind == 3:
            out[i] = (out[i] + (left + up) // 2) & 255
        elif kind == 4:
            nearest = min((left, up, corner), key=lambda v: abs(left + up - corner - v))
            out[i] = (out[i] + nearest) & 255
    return bytes(out)
