"""The reader of notebook 09: what it shows, and that it works in JupyterLab in a browser."""

import html
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import ipywidgets as widgets
import nbformat
import numpy as np
import pytest
from PIL import Image

from kdltr.apps import lab
from kdltr.data.images import encode_png
from kdltr.data.records import ImageError
from kdltr.extras import MissingExtra
from kdltr.generator.photograph import render_photograph
from kdltr.generator.synthetic import arrays
from kdltr.models.weights import load_recogniser

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
# Headless, as root, and without looking for a network.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SLOW = 180  # seconds: a busy machine of two cores
TOKEN = "test"
SIGNS = ["Fresh bread", "Platform 9"]
with_wheel = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="needs the wheel rapidocr, found none"
)


@pytest.fixture(scope="module")
def words():
    hr, _, labels = arrays("test/easy", 3, seed=3)
    return {label: lab.Word(image, label) for image, label in zip(hr, labels, strict=True)}


@pytest.fixture(scope="module")
def readers():
    return load_recogniser("parseq_nano"), load_recogniser("parseq_nano_ltr")


def parts(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """A widget and all below it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def shown(reader: widgets.Widget) -> dict[str, str]:
    """What the page says each of the three read."""
    pages = [part.value for part in parts(reader) if isinstance(part, widgets.HTML)]
    cells = re.findall(r'<td class=text data-reader="([^"]+)">(.*?)</td>', "".join(pages))
    return {name: html.unescape(re.sub("<[^>]+>", "", text)) for name, text in cells}


def control(reader: widgets.Widget, description: str) -> widgets.Widget:
    return next(part for part in parts(reader) if getattr(part, "description", "") == description)


def test_nothing_is_degraded_at_the_sliders_rest():
    image = np.random.default_rng(0).integers(0, 255, (16, 64, 3), np.uint8)
    same = lab.degrade(image, (16, 64), height=16, blur=0.0, noise=0.0)
    np.testing.assert_array_equal(same, image)
    assert lab.degrade(image, (16, 64), 16, 0.0, 20.0).std() > image.std()
    assert lab.degrade(image, (16, 64), 16, 1.0, 0.0).std() < image.std()
    assert lab.degrade(image, (16, 64), 6, 0.0, 0.0).std() < image.std()
    other = lab.degrade(np.zeros((40, 30, 3), np.uint8), (16, 64), 8, 1.0, 5.0)
    assert other.shape == (16, 64, 3) and other.dtype == np.uint8


def test_a_word_is_read_three_ways(readers, words):
    label, word = next(iter(words.items()))
    found = lab.read_word(*readers, word.image, height=16, blur=0.0, noise=0.0)
    assert [seen.name for seen in found] == ["teacher, sharp", "teacher, bicubic", "student"]
    assert [seen.reading.text for seen in found] == [label] * 3
    assert [seen.image.shape[:2] for seen in found] == [(32, 128), (16, 64), (16, 64)]
    again = lab.read_word(*readers, word.image, height=16, blur=3.0, noise=0.0)
    assert again[0].reading == found[0].reading  # the sharp image is not touched
    assert again[2].reading.text != label


def test_the_page_marks_what_is_wrong_and_escapes_what_is_read(words):
    image = next(iter(words.values())).image
    seen = lab.Seen("student", image, lab.Reading("a<b", 0.5), np.ones((26, 1, 32)))
    page = lab.page([seen], "a-c")
    assert "<span>a</span><span>&lt;</span><span class=wrong>b</span>" in page
    assert page.count("<figure>") == 3 and "confidence 0.500" in page
    assert "class=wrong>b" not in lab.page([seen])  # nobody knows what the word is


def test_moving_a_slider_or_choosing_a_word_reads_again(readers, words):
    first, second, _ = words
    reader = lab.reader(*readers, words)
    assert shown(reader)["student"] == first
    control(reader, "blur σ, px").value = 3.0
    assert shown(reader)["student"] != first == shown(reader)["teacher, sharp"]
    control(reader, "blur σ, px").value = 0.0
    control(reader, "word").value = second
    assert shown(reader)["student"] == second


def test_an_image_of_one_s_own_is_added_and_a_bad_file_explained(readers, words, tmp_path):
    reader = lab.reader(*readers, words)
    upload, choice = control(reader, "your own"), control(reader, "word")
    Image.fromarray(list(words.values())[2].image).save(tmp_path / "mine.png")
    given = {"type": "image/png", "size": 1, "last_modified": datetime.now(UTC)}
    upload.value = [given | {"name": "mine.png", "content": (tmp_path / "mine.png").read_bytes()}]
    assert choice.value == "mine.png" and len(choice.options) == 4
    assert shown(reader)["student"] == list(words)[2]
    upload.value = [given | {"name": "bad.png", "content": b"no image"}]
    assert choice.value == "mine.png"
    assert any("expected a PNG" in getattr(part, "value", "") for part in parts(reader)
               if isinstance(part, widgets.HTML))  # fmt: skip


@with_wheel
def test_the_words_of_a_photograph_become_the_choice(readers, words):
    reader = lab.reader(*readers, words)
    upload, choice = control(reader, "your own"), control(reader, "word")
    content, _ = render_photograph(SIGNS, seed=3, size=(200, 300), heights=(24, 36))
    given = {"type": "image/jpeg", "size": 1, "last_modified": datetime.now(UTC)}
    upload.value = [given | {"name": "photo.jpg", "content": content}]
    assert choice.value == "photo.jpg" and len(choice.options) == 4  # the whole, as one word
    control(reader, "find its words").value = True
    expected = [f"photo.jpg, {i}: {word}"
                for i, word in enumerate(" ".join(SIGNS).split(), start=1)]
    assert choice.value == expected[0] and [*choice.options[4:]] == expected
    assert shown(reader)["teacher, sharp"]
    pictures = [part.value for part in parts(reader) if isinstance(part, widgets.HTML)
                and 'alt="Fresh, bread, Platform, 9"' in part.value]  # fmt: skip
    assert len(pictures) == 1 and "data:image/jpeg;base64," in pictures[0]
    white = encode_png(np.full((60, 90, 3), 255, np.uint8))
    upload.value = [given | {"name": "white.png", "content": white}]
    assert len(choice.options) == 8
    assert any('alt="no words found"' in part.value for part in parts(reader)
               if isinstance(part, widgets.HTML))  # fmt: skip


def test_without_the_extra_a_photograph_s_words_are_not_found_and_it_is_said(
    readers, words, monkeypatch
):
    def missing():
        raise MissingExtra("run: pip install 'kdltr[ppocr]'")

    monkeypatch.setattr(lab, "photograph_reader", missing)
    reader = lab.reader(*readers, words)
    control(reader, "find its words").value = True
    given = {"type": "image/png", "size": 1, "last_modified": datetime.now(UTC)}
    content = encode_png(next(iter(words.values())).image)
    control(reader, "your own").value = [given | {"name": "photo.png", "content": content}]
    assert len(control(reader, "word").options) == 3
    assert any("pip install &#x27;kdltr[ppocr]&#x27;" in part.value for part in parts(reader)
               if isinstance(part, widgets.HTML))  # fmt: skip


def test_a_second_file_of_the_same_name_is_read(readers, words, tmp_path):
    reader = lab.reader(*readers, words)
    upload, texts = control(reader, "your own"), list(words)
    given = {"name": texts[0], "type": "image/png", "size": 1, "last_modified": datetime.now(UTC)}
    for number in (1, 2, 0, 2):  # the first of the list, too, whose name is the one that is chosen
        picture = encode_png(list(words.values())[number].image)
        upload.value = [given | {"content": picture}]
        assert shown(reader)["student"] == texts[number]
    bad = [given | {"name": name, "content": b"<html>"} for name in ("a.png", "b.png")]
    upload.value = bad
    said = "".join(part.value for part in parts(reader) if isinstance(part, widgets.HTML))
    assert "a.png: " in said and "b.png: " in said and "a web page" in said


def test_a_folder_is_offered_without_what_cannot_be_read(words, tmp_path, capsys):
    image = next(iter(words.values())).image
    for name in ("IMG_1.JPG", "b.webp"):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"")
    assert list(lab.words_in(tmp_path)) == ["IMG_1.JPG", "b.webp"]
    assert "left out: " in (said := capsys.readouterr().out) and "an empty file" in said
    (tmp_path / "IMG_1.JPG").unlink()
    (tmp_path / "b.webp").unlink()
    with pytest.raises(ImageError, match="found none of 1; the first: .*an empty file"):
        lab.words_in(tmp_path)


@pytest.fixture
def server(tmp_path):
    """JupyterLab on this machine alone, with a copy of the notebook and settings of its own."""
    notebook = nbformat.read(ROOT / "notebooks/09_read.ipynb", as_version=4)
    notebook.metadata.pop("widgets", None)  # what it showed when it was committed
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks/09_read.ipynb")
    # Neither news nor updates: both would be asked for on the network, and news by a dialogue.
    quiet = tmp_path / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"checkForUpdates": False, "fetchNews": "false"}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
               "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
               "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}  # fmt: skip
    own = {name: str(tmp_path / folder) for name, folder in folders.items()}
    log = tmp_path / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
             "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
             f"--IdentityProvider.token={TOKEN}", "--LabApp.extension_manager=readonly",
             f"--ServerApp.root_dir={tmp_path / 'notebooks'}"],
            stdout=file, stderr=subprocess.STDOUT, cwd=tmp_path,
            env=os.environ | own | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api?token={TOKEN}", process, log)
        yield address
    finally:  # with it end its kernels
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Return when the server answers."""
    until = time.monotonic() + SLOW
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@with_wheel
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt install chromium)")
@pytest.mark.timeout(2 * SLOW)
def test_it_works_in_a_browser(server, words, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    first, second, _ = words
    mine = tmp_path / "mine.png"
    Image.fromarray(words[second].image).save(mine)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(render_photograph(SIGNS, seed=3, size=(200, 300), heights=(24, 36))[0])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path / "browser", executable_path=CHROMIUM, args=FLAGS, headless=True,
            viewport={"width": 1280, "height": 1000},
        )  # fmt: skip
        try:
            page = browser.new_page()
            page.set_default_timeout(1000 * SLOW)
            expect.set_options(timeout=1000 * SLOW)
            page.goto(f"{server}/doc/tree/09_read.ipynb?token={TOKEN}")
            page.get_by_text("| Idle").wait_for()  # the kernel is there
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            reading = page.locator('[data-reader="student"]')
            error = page.locator('[data-mime-type="application/vnd.jupyter.stderr"]')
            reading.or_(error).first.wait_for()
            assert error.count() == 0, error.first.inner_text()
            expect(reading).to_have_text(first)
            slider = page.locator(".widget-hslider", has_text="blur").get_by_role("slider")
            slider.press("End")
            expect(reading).not_to_have_text(first)
            expect(page.locator('[data-reader="teacher, sharp"]')).to_have_text(first)
            page.screenshot(path=tmp_path / "blurred.png")
            slider.press("Home")
            expect(reading).to_have_text(first)
            with page.expect_file_chooser() as chooser:
                page.get_by_role("button", name="your own").click()
            chooser.value.set_files(mine)
            expect(reading).to_have_text(second)
            page.locator(".widget-checkbox", has_text="find its words").locator("input").check()
            with page.expect_file_chooser() as chooser:
                page.get_by_role("button", name="your own").click()
            chooser.value.set_files(photo)
            page.get_by_alt_text("Fresh, bread, Platform, 9").wait_for()
            expect(page.locator(".widget-dropdown select")).to_have_value("photo.jpg, 1: Fresh")
        finally:
            browser.close()
