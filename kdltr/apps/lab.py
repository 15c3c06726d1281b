"""The interactive reader of notebook `09_read`: one word, degraded by sliders, read three ways.

The word may be one of a photograph, in which it is found first.

What is read and how it is shown are plain functions; `reader` puts them behind widgets.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from kdltr.apps.drawing import drawn
from kdltr.apps.photograph import PhotographReader, to_batch
from kdltr.charset import Reading
from kdltr.checkpoint import CheckpointError
from kdltr.data.corruptions import gaussian_blur, gaussian_noise, resolution
from kdltr.data.images import image_files, read_image, resize
from kdltr.data.records import ImageError
from kdltr.evaluation.attention import attend, judged, overlay
from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.extras import MissingExtra, optional
from kdltr.models.base import Recogniser

widgets = optional("ipywidgets", "notebooks")

NOISE_SEED = 2023  # the same noise at every reading: only the sliders change what is read
STYLE = """<style>
.kdltr table { border-collapse: collapse; color: var(--jp-ui-font-color1, currentColor); }
.kdltr td { padding: 6px 14px 6px 0; vertical-align: middle; text-align: left; }
.kdltr img { image-rendering: pixelated; display: block; border-radius: 2px; }
.kdltr td > img { height: 48px; width: 192px; }
.kdltr > img { image-rendering: auto; max-width: min(100%, 960px); }
.kdltr .text { font: 600 20px/1.3 var(--jp-code-font-family, monospace); white-space: pre; }
.kdltr .wrong { color: var(--jp-error-color1, #d0021b); }
.kdltr .soft { color: var(--jp-ui-font-color2, #6b7280); font-size: 12px; }
.kdltr .maps { display: flex; flex-wrap: wrap; gap: 4px; }
.kdltr figure { margin: 0; text-align: center; }
.kdltr figure img { height: 24px; width: 96px; }
.kdltr figcaption { font: 12px/1.4 var(--jp-code-font-family, monospace); }
</style>"""


@dataclass(frozen=True)
class Word:
    """An image to read, and what it says if that is known.

    Attributes:
        image: (h, w, 3) uint8 RGB, of any size.
        label: the word; None for an image of one's own.
    """

    image: np.ndarray
    label: str | None = None


@dataclass(frozen=True)
class Seen:
    """What one reader makes of an image.

    Attributes:
        name: of the reader.
        image: (H, W, 3) uint8, what it was given.
        reading: text and confidence.
        maps: (T, h, w), where it looked at each step.
    """

    name: str
    image: np.ndarray
    reading: Reading
    maps: np.ndarray


def words_in(folder: str | os.PathLike) -> dict[str, Word]:
    """The images in a folder by their names; what cannot be read is printed, a line each.

    Raises:
        ImageError: no such folder, or no image in it that can be read.
    """
    words, problems = {}, []
    for path in image_files(folder):
        try:
            words[path.name] = Word(read_image(path))
        except ImageError as error:
            problems.append(str(error))
            print(f"left out: {error}")
    if not words:
        raise ImageError(f"{folder}: expected an image that can be read, found none of "
                         f"{len(problems)}; the first: {problems[0]}")
    return words


def degrade(
    image: np.ndarray, size: tuple[int, int], height: int, blur: float, noise: float
) -> np.ndarray:
    """An image of any size as a small, bad one of `size`: (h, w, 3) → (H, W, 3) uint8.

    Resized, blurred, shrunk to `height` pixels and back (bicubic), then noise: the order in which a
    camera does it.

    Args:
        size: (H, W), what the student reads.
        height: pixels of the least resolution on the way, at most H.
        blur: standard deviation of the Gaussian in pixels of `size`.
        noise: standard deviation of the Gaussian noise in grey levels of 255.
    """
    small = resolution(gaussian_blur(resize(image, size), blur), height)
    return gaussian_noise(small, np.random.default_rng(NOISE_SEED), noise)


def read_word(
    teacher: Recogniser, student: Recogniser, image: np.ndarray, height: int, blur: float,
    noise: float,
) -> list[Seen]:
    """The teacher on the image as it is; the teacher (after bicubic) and the student, degraded."""
    bad = degrade(image, student.image_size, height, blur, noise)
    sharp = resize(image, teacher.image_size)
    bicubic = UpsampleBicubic(teacher, student.image_size)
    ways = (("teacher, sharp", teacher, sharp), ("teacher, bicubic", bicubic, bad),
            ("student", student, bad))
    found = []
    for name, model, given in ways:
        (reading,), maps = attend(model, to_batch(model, [given]))
        found.append(Seen(name, given, reading, maps[0].cpu().numpy()))
    return found


def page(found: list[Seen], label: str | None = None) -> str:
    """What each reader was given and read, as HTML: wrong characters red, a map per character."""
    rows = []
    for seen in found:
        characters = judged(seen.reading.text, label)
        text = "".join(
            f'<span{"" if right else " class=wrong"}>{html.escape(character)}</span>'
            for character, right in characters
        )
        maps = "".join(
            f"<figure>{_img(overlay(seen.image, attention), f'attention for {character}')}"
            f"<figcaption>{html.escape(character)}</figcaption></figure>"
            for (character, _), attention in zip(characters, seen.maps, strict=False)
        )
        rows.append(
            f"<tr><td>{seen.name}<br><span class=soft>confidence "
            f"{seen.reading.confidence:.3f}</span></td><td>{_img(seen.image, seen.name)}</td>"
            f'<td class=text data-reader="{seen.name}">{text or "–"}</td>'
            f"<td><div class=maps>{maps}</div></td></tr>"
        )
    return f'{STYLE}<div class=kdltr><table>{"".join(rows)}</table></div>'


@functools.cache
def photograph_reader() -> PhotographReader:
    """What finds the words of photographs, loaded once.

    Raises:
        MissingExtra, CheckpointError: as `PhotographReader`.
    """
    return PhotographReader()


def search(name: str, image: np.ndarray) -> tuple[dict[str, Word], str]:
    """The words of a photograph (H, W, 3) uint8, cut out, by its name, their number and reading.

    And, as HTML, the picture of where they are and what is read (`kdltr.apps.drawing`).
    """
    found = photograph_reader().read(image)
    words = {f"{name}, {i}: {word.reading.text}": Word(word.box.crop(image))
             for i, word in enumerate(found, start=1)}
    said = ", ".join(word.reading.text for word in found) or "no words found"
    return words, f"{STYLE}<div class=kdltr>{_img(drawn(image, found), said, 'JPEG')}</div>"


def reader(
    teacher: Recogniser, student: Recogniser, words: Mapping[str, Word], height: int = 16,
    blur: float = 0.0, noise: float = 0.0,
) -> widgets.Widget:
    """Choose or upload a word, degrade it with sliders, and see what is read.

    Of an uploaded photograph the words can be found and become the choice.

    Args:
        teacher, student: both give attention or read by CTC (`kdltr.evaluation.attention.attend`).
        words: to choose from, by the name to show.
        height, blur, noise: where the sliders start; see `degrade`.
    """
    words = dict(words)
    choice = widgets.Dropdown(options=list(words), description="word")
    upload = widgets.FileUpload(accept="image/*", description="your own")
    sliders = {
        "height": widgets.IntSlider(height, 4, student.image_size[0], description="height, px"),
        "blur": widgets.FloatSlider(blur, min=0, max=3, step=0.1, description="blur σ, px"),
        "noise": widgets.FloatSlider(noise, min=0, max=60, step=1, description="noise σ",
                                     readout_format=".0f"),
    }  # fmt: skip
    whole = widgets.Checkbox(description="find its words", indent=False)
    shown, problem, picture = widgets.HTML(), widgets.HTML(), widgets.HTML()

    def update(_: Any = None) -> None:
        word = words[choice.value]
        settings = {name: slider.value for name, slider in sliders.items()}
        shown.value = page(read_word(teacher, student, word.image, **settings), word.label)

    def take(_: Any) -> None:
        problems, picture.value = [], ""
        for file in upload.value:
            name = file["name"]
            try:
                image = read_image(bytes(file["content"]))
                taken = {name: Word(image)}
                if whole.value:
                    taken, picture.value = search(name, image)
            except (ImageError, MissingExtra, CheckpointError) as error:
                problems.append(html.escape(f"{name}: {error}"))
                continue
            words.update(taken)
            before, chosen = choice.value, next(iter(taken), choice.value)
            choice.options, choice.value = list(words), chosen
            if before == chosen:  # an earlier file's of this name: nothing has changed for the list
                update()
        problem.value = "<br>".join(problems)

    for control in (choice, *sliders.values()):
        control.observe(update, "value")
    for slider in sliders.values():
        slider.continuous_update = False  # once it is let go
    for control in (upload, whole):
        control.observe(take, "value")
    update()
    wrapped = widgets.Layout(flex_flow="row wrap")
    lines = [choice, upload, whole, problem], list(sliders.values())
    return widgets.VBox([*(widgets.HBox(line, layout=wrapped) for line in lines), shown, picture])


def _img(image: np.ndarray, text: str, kind: str = "PNG") -> str:
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/{kind.lower()};base64,{data}">'
