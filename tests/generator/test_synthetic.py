"""The synthetic TextZoom-like data: fonts, words, determinism, difficulty, files."""

import hashlib
import json
import logging
import random
import string

import cv2
import numpy as np
import pytest

from kdltr import generator
from kdltr.data.lmdb import PairedWords
from kdltr.data.loader import load_pairs
from kdltr.data.records import DataError
from kdltr.extras import MissingExtra
from kdltr.generator import fonts, synthetic, words
from kdltr.generator.camera import DIFFICULTIES, Camera
from kdltr.generator.generated import made_from
from kdltr.generator.lettering import bend, draw_mask, letterforms
from kdltr.generator.scene import render_word


def digest(pairs):
    """One hash of a list of (HR file, LR file, word)."""
    total = hashlib.sha256()
    for hr, lr, word in pairs:
        total.update(hr + lr + word.encode())
    return total.hexdigest()


def test_over_a_hundred_faces_in_an_order_free_of_paths():
    faces = fonts.faces()
    keys = [(face.family, face.file) for face in faces]
    assert len(faces) > 100
    assert keys == sorted(set(keys))


def test_held_out_families_are_apart():
    tested = {group[0].family for group in fonts.families(held_out=True)}
    trained = {group[0].family for group in fonts.families(held_out=False)}
    assert tested == set(fonts.HELD_OUT)
    assert not tested & trained


def test_every_face_draws_every_character_it_claims():
    for face in fonts.faces():
        missing = draw_mask("\uffff", face, 32)  # a box, or nothing
        for character in sorted(face.characters):
            mask = draw_mask(character, face, 32)
            assert mask.max() > 100, (face.file, character)
            assert not np.array_equal(mask, missing), (face.file, character)


def test_missing_font_package_is_named(monkeypatch):
    monkeypatch.setattr(fonts, "_FAMILIES", (("no-such-font", "X", "{}.ttf", ("X",), fonts.ASCII),))
    with pytest.raises(MissingExtra, match=r"no-such-font.*kdltr\[generate\]"):
        fonts.faces.__wrapped__()


def test_words_cover_ascii_and_stay_short():
    rng = np.random.Generator(np.random.SFC64(1))
    drawn = [words.draw_word(rng) for _ in range(20_000)]
    assert set("".join(drawn)) == set(string.ascii_letters + string.digits + string.punctuation)
    lengths = np.array([len(word) for word in drawn])
    assert lengths.min() >= 1 and lengths.max() <= words.MAX_LENGTH
    assert ((lengths >= 2) & (lengths <= 12)).mean() > 0.9
    assert len(set(drawn)) > 8000
    assert max(drawn.count(word) for word in ("the", "of", "and")) < 400


def test_no_slurs_or_obscenities():
    listed = words.blocked()
    assert len(listed) > 500
    vocabulary, cumulative = words.vocabulary()
    assert not listed & set(vocabulary)
    assert len(vocabulary) == len(cumulative) == words.VOCABULARY_SIZE
    rng = np.random.Generator(np.random.SFC64(2))
    drawn = [words.draw_word(rng) for _ in range(20_000)]
    assert not [word for word in drawn if words.is_blocked(word)]


def test_block_list_reads_through_case_digits_endings_and_compounds():
    example = max((w for w in words.blocked() if len(w) == 5), key=str)
    for disguise in (example.upper(), example + "s", f"Mega-{example}", f"({example}!)"):
        assert words.is_blocked(disguise)
    with_e = next(w for w in sorted(words.blocked()) if "e" in w and w.isascii())
    assert words.is_blocked(with_e.replace("e", "3"))
    for harmless in ("class", "Sussex", "without:", "EEK!", "03/09/2009", "Television"):
        assert not words.is_blocked(harmless)


def test_same_seed_same_bytes_whatever_the_order():
    whole = list(synthetic.generate_files("train1", 12, 5))
    pieces = [
        next(synthetic.generate_files("train1", 1, 5, start=index))
        for index in reversed(range(12))
    ]
    assert whole == pieces[::-1]
    assert digest(whole) != digest(synthetic.generate_files("train1", 12, 6))
    assert digest(whole) != digest(synthetic.generate_files("train2", 12, 5))


def test_global_random_state_plays_no_part():
    digests = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what is tested
        random.seed(seed)
        digests.append(digest(synthetic.generate_files("test/hard", 4, 1)))
    assert digests[0] == digests[1]


def test_generate_yields_what_the_files_hold():
    files = list(synthetic.generate_files("test/easy", 3, 9))
    for (hr_file, lr_file, word), (hr, lr, label) in zip(
        files, synthetic.generate("test/easy", 3, 9), strict=True
    ):
        assert word == label
        assert hr.dtype == lr.dtype == np.uint8 and hr.shape[2] == lr.shape[2] == 3
        assert 20 <= hr.shape[0] <= 80 and lr.shape[0] < hr.shape[0]
        # Another decoder of the same file: the channels are RGB in both.
        other = cv2.imdecode(np.frombuffer(hr_file, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert np.abs(other.astype(int) - hr).mean() < 2
        assert lr_file.startswith(b"\xff\xd8")


@pytest.mark.parametrize("split", generator.SPLITS)
def test_a_third_of_each_test_split_and_nothing_else_in_held_out_families(split):
    held_out = [
        synthetic.draw_scene(split, index, 3)[0].face.family in fonts.HELD_OUT
        for index in range(30)
    ]
    assert sum(held_out) == (10 if split.startswith("test/") else 0)


def test_train_splits_mix_difficulties_and_test_splits_do_not():
    train = {synthetic.draw_scene("train2", index, 3)[1] for index in range(30)}
    assert train == set(DIFFICULTIES)
    for difficulty in DIFFICULTIES:
        drawn = {synthetic.draw_scene(f"test/{difficulty}", index, 3)[1] for index in range(5)}
        assert drawn == {difficulty}


def test_difficulty_is_ordered():
    """Detail left in the LR picture, relative to its HR picture, falls from easy to hard."""

    def detail(pictures):
        grey = pictures.astype(np.float32).mean(axis=3)
        return np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))

    left = []
    for difficulty in DIFFICULTIES:
        hr, lr, _ = synthetic.arrays(f"test/{difficulty}", 150, 4)
        small = hr.reshape(len(hr), 16, 2, 64, 2, 3).mean(axis=(2, 4))
        left.append(float(np.median(detail(lr) / detail(small))))
    assert left[0] > left[1] > left[2]


def test_hr_words_stand_out_from_their_ground():
    hr, _, _ = synthetic.arrays("train1", 100, 8)
    grey = hr.astype(np.float32).mean(axis=3).reshape(len(hr), -1)
    spread = np.percentile(grey, 95, axis=1) - np.percentile(grey, 5, axis=1)
    assert np.percentile(spread, 2) > 30


def test_small_caps_are_labelled_in_capitals():
    drawn = (synthetic.draw_scene("train1", index, 0)[0] for index in range(150))
    amatic = [scene.word for scene in drawn if scene.face.small_caps]
    assert amatic and all(word == word.upper() for word in amatic)


def test_render_word_refuses_what_a_face_cannot_write():
    rng = np.random.Generator(np.random.SFC64(0))
    face = next(face for face in fonts.faces() if face.family == "Computer Modern")
    for word in ("a{b}", "", "naïve"):
        with pytest.raises(ValueError, match="cannot write"):
            render_word(word, rng, face)


def test_longest_word_in_the_widest_face_fits():
    rng = np.random.Generator(np.random.SFC64(0))
    face = next(face for face in fonts.faces() if face.file == "DejaVuSans-BoldOblique.ttf")
    scene = render_word("W" * words.MAX_LENGTH, rng, face, 60)
    left, top, right, bottom = scene.box
    assert 0 < left < right < scene.pixels.shape[1] and 0 < top < bottom < scene.pixels.shape[0]
    assert len(Camera.far(rng, "hard").capture(scene.pixels, scene.box, rng)) > 100


@pytest.mark.parametrize("shape", ["gaussian", "disc", "line"])
def test_blur_kernels_sum_to_one_and_have_the_width_asked_for(shape):
    kernel = Camera(blur=(1.5, 1.5), shape=shape).kernel(samples=2)
    middle = len(kernel) // 2
    x = np.arange(len(kernel)) - middle
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert np.sqrt((kernel.sum(axis=0) * x**2).sum()) == pytest.approx(3.0, rel=0.15)


def test_camera_shift_moves_the_picture():
    scene = np.full((60, 120, 3), 200, dtype=np.float32)
    scene[:, 60:] = 20  # an edge in the middle of the box
    rng = np.random.Generator(np.random.SFC64(0))
    dark = []
    for shift in (0.0, 6.0):
        camera = Camera(zoom=2.0, shift=(shift, 0.0), noise=0.0, colour_noise=0.0)
        data = np.frombuffer(camera.capture(scene, (20, 10, 100, 50), rng), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (20, 40)
        dark.append(int((picture[10] < 110).sum()))
    assert dark == [20, 23]  # 6 scene pixels are 3 picture pixels


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'test/easy'"):
        next(synthetic.generate("test-easy", 1, 0))
    with pytest.raises(ValueError, match="easy"):
        Camera.far(np.random.Generator(np.random.SFC64(0)), "simple")


def test_write_then_load_equals_arrays_and_a_second_run_does_nothing(tmp_path, caplog):
    sizes = {"train1": 20, "test/hard": 6}
    folders = synthetic.write_textzoom_like(tmp_path / "a", sizes, seed=2)
    assert [len(PairedWords(folders[split])) for split in sizes] == [20, 6]
    loaded = load_pairs([folders["train1"]])
    hr, lr, labels = synthetic.arrays("train1", 20, 2)
    assert loaded.words == labels
    assert (loaded.hr.permute(0, 2, 3, 1).numpy() == hr).all()
    assert (loaded.lr.permute(0, 2, 3, 1).numpy() == lr).all()

    record = tmp_path / "a" / "test" / "hard.json"
    assert json.loads(record.read_text()) == {
        "split": "test/hard", "pairs": 6, "seed": 2,
        "generator_version": generator.GENERATOR_VERSION,
    }
    before = (folders["train1"] / "data.mdb").stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        synthetic.write_textzoom_like(tmp_path / "a", sizes, seed=2)
    assert "there already" in caplog.text
    assert (folders["train1"] / "data.mdb").stat().st_mtime_ns == before


def test_stale_or_half_written_splits_are_made_again(tmp_path, monkeypatch):
    sizes = {"test/easy": 3}
    folder = synthetic.write_textzoom_like(tmp_path, sizes, seed=2)["test/easy"]
    first = PairedWords(folder).encoded(0)
    synthetic.write_textzoom_like(tmp_path, sizes, seed=3)
    assert PairedWords(folder).encoded(0) != first

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # killed while writing: the old data stay, unvouched for
        patch.setattr(synthetic, "_pair", fail)
        with pytest.raises(KeyboardInterrupt):
            synthetic.write_textzoom_like(tmp_path, sizes, seed=2)
    assert "unfinished" in made_from(folder)
    synthetic.write_textzoom_like(tmp_path, sizes, seed=2)
    assert PairedWords(folder).encoded(0) == first


def test_data_of_others_is_not_replaced(tmp_path):
    (tmp_path / "train1").mkdir()
    (tmp_path / "train1/thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="train1: expected generated data or nothing, found other"):
        synthetic.write_textzoom_like(tmp_path, {"train1": 1}, seed=1)
    assert (tmp_path / "train1/thesis.txt").read_text() == "mine"


def test_workers_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_CHUNK", 4)
    one = digest(synthetic.generate_files("train2", 10, 1))
    folder = synthetic.write_textzoom_like(tmp_path, {"train2": 10}, seed=1, workers=2)["train2"]
    assert digest(tuple(PairedWords(folder).encoded(i)) for i in range(10)) == one


@pytest.mark.parametrize(
    ("sizes", "seed", "workers"),
    [({"train3": 5}, 0, 1), ({"train1": 0}, 0, 1), ({"train1": 5}, -1, 1), ({"train1": 5}, 0, 0)],
)
def test_bad_settings_write_nothing(tmp_path, sizes, seed, workers):
    with pytest.raises(ValueError, match="expected"):
        synthetic.write_textzoom_like(tmp_path / "x", sizes, seed, workers)
    assert not (tmp_path / "x").exists()


def test_without_effects_the_scenes_are_those_of_version_1():
    """What the shipped teachers learned from, and the words of the reference results."""
    golden = [  # word, face, box, mean pixel, difficulty, the next random number
        ("SUSPECTED", "AmaticSC-Regular.ttf", (12, 12, 184, 58), 194.697, "hard", 21990),
        ("everything", "STIXGeneralBol.ttf", (12, 12, 158, 42), 62.099, "easy", 675785),
        ("conflicting,", "DejaVuSansMono-Oblique.ttf", (12, 12, 227, 44), 122.764, "hard", 151775),
        ("I", "Lato-Regular.ttf", (12, 12, 46, 50), 49.559, "easy", 185430),
    ]
    for index, (word, file, box, mean, difficulty, following) in enumerate(golden):
        scene, found, rng = synthetic.draw_scene("train1", index, 7)
        assert (scene.word, scene.face.file, scene.box, found) == (word, file, box, difficulty)
        assert scene.pixels.mean() == pytest.approx(mean, abs=0.05)
        assert int(rng.integers(10**6)) == following


def test_other_weights_and_shapes_leave_the_word_whole():
    rng = np.random.Generator(np.random.SFC64(1))
    face = next(face for face in fonts.faces() if face.file == "DejaVuSans-Bold.ttf")
    mask = draw_mask("Hamburg", face, 40)
    ink = (mask > 127).sum() / mask.size
    for _ in range(60):
        changed = letterforms(mask, rng)
        assert 0.4 * ink < (changed > 127).sum() / changed.size < 2.2 * ink
        shaped = bend(mask, 40.0, rng)
        _, _, width, height = cv2.boundingRect((shaped > 60).astype(np.uint8))
        assert width > 0.45 * mask.shape[1] * 40 / mask.shape[0] and height >= 25
        parts, _ = cv2.connectedComponents((shaped > 127).astype(np.uint8))
        assert parts >= 7  # no letter is lost


def test_a_varied_camera_reaches_beyond_and_keeps_its_fields_valid():
    rng = np.random.Generator(np.random.SFC64(2))
    far = [Camera.far(rng, "hard") for _ in range(300)]
    varied = [camera.varied(rng) for camera in far]
    assert max(camera.blur[0] for camera in varied) > 1.3 * max(camera.blur[0] for camera in far)
    assert max(abs(camera.shift[0]) for camera in varied) > 6.0
    assert min(camera.contrast for camera in varied) < 0.7
    assert any(camera.fringe for camera in varied) and not all(camera.fringe for camera in varied)
    assert all(30 <= camera.quality <= 95 and camera.noise > 0 for camera in varied)


def test_each_effect_changes_pictures_and_only_words_changes_the_first_word():
    plain = list(synthetic.generate_files("train1", 12, 5))
    for effect in generator.EFFECTS:
        found = list(synthetic.generate_files("train1", 12, 5, effects=[effect]))
        assert found == list(synthetic.generate_files("train1", 12, 5, effects=[effect])), effect
        assert digest(found) != digest(plain), effect
        if effect != "words":  # what is written is drawn before how it looks
            assert [word for *_, word in found] == [word for *_, word in plain], effect


def test_the_order_of_effects_plays_no_part_and_an_unknown_one_suggests_the_nearest():
    backwards = list(synthetic.generate_files("train1", 3, 5, effects=generator.EFFECTS[::-1]))
    assert backwards == list(synthetic.generate_files("train1", 3, 5, effects=generator.EFFECTS))
    with pytest.raises(ValueError, match="found 'lenses'; did you mean 'lens'"):
        next(synthetic.generate_files("train1", 1, 0, effects=["lenses"]))


def test_all_effects_draw_the_shortest_and_the_longest_words():
    rng = np.random.Generator(np.random.SFC64(0))
    face = next(face for face in fonts.faces() if face.file == "DejaVuSans-BoldOblique.ttf")
    for word in ("I", ".", "W" * words.MAX_LENGTH):
        for _ in range(25):
            scene = render_word(word, rng, face, 32, generator.EFFECTS)
            left, top, right, bottom = scene.box
            assert 0 < left < right < scene.pixels.shape[1]
            assert 0 < top < bottom < scene.pixels.shape[0]
            assert np.isfinite(scene.pixels).all() and scene.pixels.min() >= 0
            assert scene.pixels.max() <= 255


def test_varied_words_hold_more_digits_are_never_blocked_and_stay_short():
    def share(varied):
        rng = np.random.Generator(np.random.SFC64(3))
        drawn = [words.draw_word(rng, varied) for _ in range(5000)]
        assert all(0 < len(word) <= words.MAX_LENGTH for word in drawn)
        assert not [word for word in drawn if words.is_blocked(word)]
        vocabulary = set(words.vocabulary()[0])
        return (np.mean([any(c.isdigit() for c in word) for word in drawn]),
                np.mean([word.lower() in vocabulary for word in drawn]))

    (digits, known), (more_digits, less_known) = share(False), share(True)
    assert more_digits > 2 * digits and less_known < known - 0.2


def test_a_colour_fringe_parts_red_from_blue():
    scene = np.full((60, 120, 3), 200, dtype=np.float32)
    scene[:, 60:] = 20
    camera = Camera(zoom=2.0, noise=0.0, colour_noise=0.0, fringe=2.0)
    rng = np.random.Generator(np.random.SFC64(0))
    data = np.frombuffer(camera.capture(scene, (20, 10, 100, 50), rng), np.uint8)
    row = cv2.imdecode(data, cv2.IMREAD_COLOR)[10]  # blue, green, red
    blue, _, red = (int((row[:, channel] < 110).sum()) for channel in range(3))
    assert blue - red == pytest.approx(4, abs=1)


def test_data_with_other_effects_are_made_again_and_say_which(tmp_path):
    sizes = {"train1": 3}
    folder = synthetic.write_textzoom_like(tmp_path, sizes, seed=2)["train1"]
    plain = PairedWords(folder).encoded(0)
    synthetic.write_textzoom_like(tmp_path, sizes, seed=2, effects=["lens", "ink"])
    assert PairedWords(folder).encoded(0) != plain
    record = json.loads((tmp_path / "train1.json").read_text())
    assert record["effects"] == ["ink", "lens"]
    assert record["effects_version"] == generator.EFFECTS_VERSION
