"""The page in a browser: it asks the network for nothing, sorts, fits a phone, dark and print."""

from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import pytest

from kdltr.results.report import render
from tests.fabricated import write_profile

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync")  # fmt: skip
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser at {CHROMIUM}")

# The least contrast between a text and what lies behind it, over everything that is shown
# (WCAG 2: 4.5 for text of this size), and the text that has it.
CONTRAST = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script")) continue;
    const [a, b] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 200)];
  }
  return worst;
}"""
UNFOLD = "() => document.querySelectorAll('details').forEach(part => { part.open = true; })"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The file of a small report, its notebooks beside it."""
    folder = tmp_path_factory.mktemp("results")
    write_profile(folder)
    path = folder / "report.html"
    path.write_text(render(folder, "toy"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    """Chromium with a profile of its own, which goes when it is closed."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def show(browser, report):
    """A function that opens the report; what a page then asks for or complains of is an error."""
    opened, troubles = [], []

    def open_page(width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900},
                                      color_scheme=scheme)  # fmt: skip
        opened.append(context)
        page = context.new_page()
        page.on("request", lambda request: request.url.startswith("data:")
                or request.url == report.as_uri() or troubles.append(request.url))  # fmt: skip
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in opened:
        context.close()
    assert not troubles


def table_below(page, title):
    heading = f"xpath=//*[self::h4 or self::summary][starts-with(normalize-space(), '{title}')]"
    return page.locator(f"{heading}/following::table[1]")


def column(table, index):
    return [text.split("\n")[0] for text in
            table.locator(f"tbody td:nth-child({index})").all_inner_texts()]  # fmt: skip


def test_a_click_sorts_numbers_as_numbers_and_leaves_gaps_last(show):
    page = show()
    table = table_below(page, "Words read right: accuracy (%)")
    head = table.locator("th", has_text="parameters")
    place = table.locator("th").all_inner_texts().index("parameters") + 1
    gaps = column(table, place).count("–")
    assert gaps == 2  # bicubic, measured and published
    for direction, order in (("ascending", 1), ("descending", -1)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        shown = column(table, place)
        numbers = [float(text.removesuffix("\u202fM")) for text in shown[:-gaps]]
        assert shown[-gaps:] == ["–"] * gaps
        assert numbers == sorted(numbers)[::order] and numbers != sorted(numbers)[::-order]
    table.locator("th button").nth(1).click()
    assert column(table, 2) == sorted(column(table, 2), key=str.casefold)
    assert head.get_attribute("aria-sort") is None
    assert table.locator("tbody tr").count() == len(numbers) + gaps


def test_levels_and_intervals_sort_as_numbers(show):
    page = show()
    page.evaluate(UNFOLD)
    table = table_below(page, "Confidence (%): calibration error")
    head = table.locator("th button", has_text="subset")
    head.click()
    head.click()
    levels = [float(text) for text in column(table, 2)]
    assert len(levels) == 30 and levels == sorted(levels, reverse=True)
    table = table_below(page, "Measured beside published")
    table.locator("th button", has_text="95 % interval").click()
    lows = [float(text.split("–")[0]) for text in column(table, 6)]
    assert len(lows) == 6 and lows == sorted(lows)


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_no_part_is_wider_than_the_screen(show, width):
    page = show(width)
    page.evaluate(UNFOLD)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = """width => [...document.querySelectorAll("main > *, section > *, p, figure, pre")]
        .filter(part => part.getBoundingClientRect().right > width + 1)
        .map(part => part.outerHTML.slice(0, 99))"""
    assert not page.evaluate(wide, width)


def test_claims_are_cards_on_a_phone(show):
    page = show(360)
    table = table_below(page, "What the paper states")
    assert not table.locator("thead").is_visible()
    card = table.locator("tr", has_text="PARSeq: distilled reads more words than bicubic")
    box = card.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    lines = card.inner_text().split("\n")
    assert {"+2.93 points", "+37.50 points", "different data", "04_textzoom"} <= {*lines}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_lies_behind_them(show, scheme):
    page = show(scheme=scheme)
    page.evaluate(UNFOLD)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    ratio, where = page.evaluate(CONTRAST)
    assert ratio >= 4.5, where


def test_print_shows_what_is_folded(show, tmp_path):
    page = show(scheme="dark")
    folded = page.locator("main details:not([open])").count()
    assert folded > 3
    page.evaluate("""() => addEventListener("beforeprint", () => {
        document.body.dataset.folded = document.querySelectorAll("main details:not([open])").length;
    })""")  # fmt: skip
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert page.evaluate("document.body.dataset.folded") == "0"
    assert page.locator("main details:not([open])").count() == folded  # as it was
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST)[0] >= 4.5
    assert not page.locator("nav").is_visible()


def test_links_lead_somewhere(show, report):
    page = show()
    targets = page.evaluate("[...document.links].map(link => link.getAttribute('href'))")
    notebooks = [target for target in targets if target.startswith("notebooks/")]
    assert "notebooks/04_textzoom.ipynb" in notebooks
    for target in targets:
        if target.startswith("#"):
            assert page.locator(f"[id='{target[1:]}']").count() == 1, target
        elif not target.startswith("https:"):
            path = urlparse(urljoin(report.as_uri(), target)).path
            assert Path(unquote(path)).is_file(), target
    page.locator("nav a[href='#circumstances']").click()
    top = page.locator("#circumstances").bounding_box()["y"]
    assert 0 <= top < 900


def test_every_figure_has_a_caption_and_is_shown(show):
    page = show()
    assert page.evaluate("""() => [...document.images].length > 0 && [...document.images].every(
        image => image.alt && image.naturalWidth > 0 && image.closest("figure").innerText)""")
