"""The camera fitted to TextZoom, and the fit itself on pairs whose settings are known."""

import csv

import pytest
import torch

from kdltr.data.loader import WordPairs
from kdltr.generator.camera_fit import fit_camera, write_table
from kdltr.generator.fitted_camera import COLUMNS, FittedCamera, develop, project, read_table
from tests.data.pictures import lettering

NEUTRAL = {"characters": 3, "blur_y": 0.5, "blur_x": 0.5, "scale_y": 1, "scale_x": 1, "gain": 1}


def settings(**given):
    return torch.tensor([[float((NEUTRAL | given).get(name, 0.0)) for name in COLUMNS]])


def table(path, *rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row[0].tolist() for row in rows)
    return path


@pytest.fixture
def hr():
    return torch.stack([lettering(seed) for seed in range(6)]).float() / 255


def taken(camera, hr, characters=3, seed=1):
    lengths = torch.full((len(hr),), characters)
    return camera(hr, lengths, torch.Generator().manual_seed(seed))


def test_pictures_have_the_size_asked_for_and_come_from_the_seed_alone(hr):
    camera = FittedCamera()
    lr = taken(camera, hr)
    assert lr.shape == (6, 3, 16, 64) and lr.min() >= 0 and lr.max() <= 1
    assert torch.equal(lr, taken(camera, hr)) and not torch.equal(lr, taken(camera, hr, seed=2))
    assert taken(FittedCamera(size=(24, 96)), hr).shape == (6, 3, 24, 96)
    assert taken(camera, hr, characters=40).shape == lr.shape  # longer than any that was measured


def test_a_picture_is_made_as_its_settings_say(hr, tmp_path):
    flat = torch.full_like(hr, 0.25)
    brighter = FittedCamera(table=table(tmp_path / "a", settings(gain=1.3, red=0.1)))
    expected = torch.tensor([0.35, 0.25, 0.25]).view(1, 3, 1, 1).expand(6, 3, 16, 64)
    torch.testing.assert_close(taken(brighter, flat), expected)
    soft, sharp = (project(settings(blur_x=blur), hr, (16, 64)) for blur in (3.0, 0.5))
    assert soft.diff(dim=3).abs().mean() < 0.5 * sharp.diff(dim=3).abs().mean()
    moved = project(settings(shift_x=2.0), hr, (16, 64))
    torch.testing.assert_close(moved[..., 5:50], sharp[..., 7:52])
    noisy = FittedCamera(table=table(tmp_path / "b", settings(noise=0.05)))
    grain = taken(noisy, torch.full((50, 3, 32, 128), 0.5)) - 0.5
    assert grain.std() == pytest.approx(0.05, rel=0.05)
    one, next_to_it = grain[..., :-1].flatten(), grain[..., 1:].flatten()
    assert torch.corrcoef(torch.stack([one, next_to_it]))[0, 1] > 0.5  # it has a grain


def test_words_get_the_settings_of_words_about_as_long(hr, tmp_path):
    rows = [settings(characters=n, red=n / 100) for n in (2, 9) for _ in range(200)]
    camera = FittedCamera(table=table(tmp_path / "a", *rows))
    flat = torch.full_like(hr, 0.5)
    for characters, red in ((1, 0.52), (2, 0.52), (9, 0.59), (25, 0.59)):
        found = taken(camera, flat, characters)[:, 0].mean((1, 2))
        torch.testing.assert_close(found, torch.full((6,), red))
    between = taken(camera, flat.repeat(20, 1, 1, 1), 6)[:, 0].mean((1, 2))
    assert between.unique().numel() == 2  # no pair of 6 characters: half of the nearest each


def test_known_settings_are_found_again(hr, tmp_path):
    known = torch.cat([
        settings(blur_y=0.8, blur_x=1.2, shift_y=0.3, shift_x=-0.8, gain=1.1, blue=0.05),
        settings(blur_y=1.1, blur_x=2.0, shift_y=-0.2, scale_x=1.02, gain=0.9, red=-0.03),
    ])
    hr = torch.stack([lettering(0, 180), lettering(1, 180)]).float() / 255
    lr = develop(known, project(known, hr, (16, 64)))
    pairs = WordPairs((255 * hr).round().byte(), (255 * lr).round().byte(), ["one", ""])
    found, left = fit_camera(pairs)
    torch.testing.assert_close(found[0], known[0], atol=0.05, rtol=0.05)
    torch.testing.assert_close(found[1, 1:], known[1, 1:], atol=0.05, rtol=0.05)
    assert left.max() < 0.01
    write_table(tmp_path / "table.csv", found)
    kept = read_table(tmp_path / "table.csv")  # without the word that has no characters
    torch.testing.assert_close(kept, found[:1], atol=6e-4, rtol=0)


def test_the_table_is_of_textzooms_train2():
    rows = read_table()
    assert len(rows) == 2794 - 4  # its empty labels
    assert rows[:, 0].diff().min() == 0 and (rows[:, 1:3] > 0).all()
