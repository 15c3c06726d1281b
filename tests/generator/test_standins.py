"""Stand-ins for the benchmarks: their layout, their shapes, and that a seed decides them."""

import cv2
import numpy as np
import pytest

from kdltr.data.images import read_image
from kdltr.data.lmdb import Words
from kdltr.data.loader import load_words
from kdltr.data.records import DataError
from kdltr.generator import fonts
from kdltr.generator.generated import generated_in
from kdltr.generator.lettering import curved, draw_mask, perspective
from kdltr.generator.standins import KINDS, draw_standin, write_standins


def generator(seed=0):
    return np.random.Generator(np.random.SFC64(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_depends_on_seed_kind_and_index_alone(kind):
    data, label = draw_standin(kind, 3, seed=1)
    assert (data, label) == draw_standin(kind, 3, seed=1)
    others = [draw_standin(kind, 3, 2), draw_standin(kind, 4, 1),
              draw_standin(KINDS[KINDS.index(kind) - 1], 3, 1)]  # fmt: skip
    assert data not in [other for other, _ in others]
    assert label.isalnum() and label.isascii()
    assert read_image(data).std() > 5  # something is written there


def test_they_are_read_as_a_benchmark_is_and_a_second_run_does_nothing(tmp_path):
    sizes = {"horizontal": 3, "curved": 2}
    folders = write_standins(tmp_path, sizes, seed=1)
    assert {kind: len(Words(folder)) for kind, folder in folders.items()} == sizes
    assert Words(folders["curved"]).encoded(1) == draw_standin("curved", 1, 1)
    words = load_words(folders["horizontal"])
    assert words.hr.shape == (3, 3, 32, 128) and words.lr.shape == (3, 3, 16, 64)

    file = folders["curved"] / "data.mdb"
    before = file.stat().st_mtime_ns
    write_standins(tmp_path, sizes, seed=1)
    assert file.stat().st_mtime_ns == before
    write_standins(tmp_path, sizes, seed=2)
    assert Words(folders["curved"]).encoded(1) == draw_standin("curved", 1, 2)


def test_incidental_words_are_the_small_ones():
    heights = {kind: np.median([read_image(draw_standin(kind, i, 0)[0]).shape[0]
                                for i in range(12)]) for kind in KINDS}  # fmt: skip
    assert heights["incidental"] < 0.6 * min(heights[k] for k in KINDS if k != "incidental")


def bar(width=400, height=80):
    """A word that is a bar: its shape is that of any word, and easy to measure."""
    return np.full((height, width), 255, np.uint8)


def test_a_turned_sign_has_a_lower_far_side_at_either_end():
    far_left = []
    for seed in range(12):
        ink = perspective(bar(), 40.0, generator(seed)) > 128
        columns = ink.sum(axis=0)[ink.any(axis=0).nonzero()[0]]
        left, right = columns[5:25].mean(), columns[-25:-5].mean()
        assert 0.4 < min(left, right) / max(left, right) < 0.85
        far_left.append(left < right)
    assert 0 < sum(far_left) < 12


def test_a_curved_word_is_bent_keeps_its_area_and_is_not_mirrored():
    mask = bar()
    mask[:, :40] = 120  # its first letter is grey
    middles = []
    for seed in range(12):
        ink = curved(mask, 40.0, generator(seed))
        rows = [np.nonzero(ink[:, x] > 60)[0].mean() for x in (12, ink.shape[1] // 2)]
        middles.append(rows[1] - rows[0])
        assert (ink > 60).sum() == pytest.approx(40 * 200, rel=0.1)
        grey = np.nonzero((ink > 100) & (ink < 140))[1]
        assert np.median(grey) < 0.3 * ink.shape[1]
    assert min(map(abs, middles)) > 3 and min(middles) < 0 < max(middles)


def test_letters_stand_upright_on_the_arc_whichever_way_it_is_bent():
    """What is on top of the word is above what is below it, also in a bowl."""
    mask = bar()
    mask[:40] = 120
    for seed in range(6):
        ink = curved(mask, 40.0, generator(seed))
        middle = ink[:, ink.shape[1] // 2]
        grey, white = ((middle > low) & (middle < high) for low, high in ((90, 150), (200, 256)))
        assert np.nonzero(grey)[0].mean() < np.nonzero(white)[0].mean()


def test_the_shortest_and_the_longest_words_fit_on_an_arc():
    face = next(face for face in fonts.faces() if face.file == "DejaVuSans-Bold.ttf")
    for word in ("I", "W" * 25):
        for seed in range(4):
            ink = curved(draw_mask(word, face, 40), 40.0, generator(seed))
            _, _, width, height = cv2.boundingRect(ink)
            assert width > 4 and height > 30


@pytest.mark.parametrize(("sizes", "seed"), [({"round": 5}, 0), ({"curved": 0}, 0),
                                             ({"curved": 5}, -1)])  # fmt: skip
def test_bad_settings_write_nothing(tmp_path, sizes, seed):
    with pytest.raises(ValueError, match="expected at least 1 word of a kind of horizontal"):
        write_standins(tmp_path / "x", sizes, seed)
    assert not (tmp_path / "x").exists()


def test_what_was_made_is_found_again_and_nothing_else(tmp_path):
    with pytest.raises(DataError, match="expected generated words below it, found none; say in"):
        generated_in(tmp_path)
    made = write_standins(tmp_path / "some", {"curved": 1}, seed=1)
    (tmp_path / "notes.json").write_text("{}")
    assert generated_in(tmp_path / "some") == made
    assert list(generated_in(tmp_path)) == ["some/curved"]
    made["curved"].with_name("curved.json").write_text('{"unfinished": {}}')
    with pytest.raises(DataError, match="found none"):
        generated_in(tmp_path)
