"""Degradations: what each does, what chance decides, and that a seed decides it wholly."""

import numpy as np
import pytest
import torch

from kdltr.data import corruptions
from kdltr.data.corruptions import KINDS, corruption, degrade, published


def generator(seed=0):
    return np.random.Generator(np.random.SFC64(seed))


def noise_images(n=6, height=16, width=64):
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.integers(0, 256, (n, 3, height, width), dtype=np.uint8))


def flat(value, height=16, width=64):
    return np.full((height, width, 3), value, np.uint8)


def edge(height=32, width=64):
    """Dark left, bright right."""
    image = flat(40, height, width)
    image[:, width // 2 :] = 200
    return image


IMAGE = noise_images(1)[0].permute(1, 2, 0).numpy().copy()
EVERY = {"gaussian_blur": 1.5, "gaussian_noise": 10, "average_blur": 3, "median_blur": 3,
         "bilateral_blur": 100, "motion_blur": 3, "mean_shift_blur": 20, "superpixels": 0.5,
         "jpeg": 20, "resolution": 8}  # fmt: skip


@pytest.mark.parametrize("change", [published, *(corruption(*item) for item in EVERY.items())],
                         ids=["published", *EVERY])  # fmt: skip
def test_an_image_depends_on_seed_and_index_alone(change):
    images = noise_images()
    given = images.clone()
    all_at_once = degrade(images, change, seed=5)
    assert torch.equal(images, given)  # not changed in place
    assert (all_at_once.shape, all_at_once.dtype) == (images.shape, torch.uint8)
    order = [4, 0, 2]
    assert torch.equal(degrade(images[order], change, 5, order), all_at_once[order])
    assert torch.equal(degrade(images, change, seed=5), all_at_once)


def test_another_seed_or_index_is_another_noise():
    same = noise_images(1).expand(2, -1, -1, -1)
    change = corruption("gaussian_noise", 10)
    first, second = degrade(same, change, seed=0)
    assert not torch.equal(first, second)
    assert not torch.equal(degrade(same, change, seed=1)[0], first)


def test_every_kind_is_tried():
    assert EVERY.keys() == KINDS.keys()


@pytest.mark.parametrize("kind, level", [
    ("gaussian_blur", 0), ("gaussian_noise", 0), ("average_blur", 1), ("median_blur", 1),
    ("superpixels", 0), ("resolution", 16),
])  # fmt: skip
def test_the_mildest_level_changes_nothing(kind, level):
    images = noise_images()
    assert torch.equal(degrade(images, corruption(kind, level), 0), images)


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind != "gaussian_noise"])
def test_an_even_surface_stays_as_it_is(kind):
    change = corruption(kind, EVERY[kind])
    assert np.abs(change(flat(90), generator()).astype(int) - 90).max() <= 2  # JPEG rounds


@pytest.mark.parametrize("kind", ["gaussian_blur", "average_blur", "motion_blur", "resolution"])
def test_blur_keeps_the_mean_and_takes_the_detail(kind):
    blurred = corruption(kind, EVERY[kind])(IMAGE, generator()).astype(float)
    assert blurred.mean() == pytest.approx(IMAGE.mean(), abs=2)
    assert blurred.std() < 0.8 * IMAGE.std()


def test_gaussian_blur_has_the_width_asked_for():
    """A step becomes the integral of the kernel: its slope is the kernel itself."""
    for sigma in (1.0, 2.5):
        row = corruptions.gaussian_blur(edge(), sigma)[16, :, 0].astype(float)
        kernel = np.diff(row) / 160
        x = np.arange(len(kernel)) - (kernel * np.arange(len(kernel))).sum()
        assert (kernel * x**2).sum() ** 0.5 == pytest.approx(sigma, rel=0.06)


def test_median_and_bilateral_keep_edges_that_averages_soften():
    image = edge()
    assert (corruptions.median_blur(image, 5) == image).all()
    assert np.abs(corruptions.bilateral_blur(image, 9, 10, 50).astype(int) - image).max() <= 1
    assert corruptions.average_blur(image, 5)[16, 30:34, 0].tolist() == [72, 104, 136, 168]


def test_an_even_median_is_the_next_odd_one():
    assert (corruptions.median_blur(IMAGE, 4) == corruptions.median_blur(IMAGE, 5)).all()


def test_motion_blur_goes_along_its_angle():
    image = flat(0)
    image[8, 32] = 240
    upright = corruptions.motion_blur(image, 3, 0, 0.0)[:, :, 0]
    assert upright[7:10, 32].tolist() == [80, 80, 80] and upright.sum() == 240
    level = corruptions.motion_blur(image, 3, 90, 0.0)[:, :, 0]
    assert level[8, 31:34].tolist() == [80, 80, 80] and level.sum() == 240
    one_end = corruptions.motion_blur(image, 3, 0, 1.0)[:, 32, 0]
    assert sorted(one_end[7:10].tolist()) == [0, 80, 160]


def test_superpixels_paint_the_whole_image_if_there_is_but_one():
    painted = corruptions.superpixels(edge(), generator(), 1.0, 1)
    assert (painted == 120).all()  # which is why not every degraded word can be read
    rng = np.random.default_rng(0)
    many = edge() + rng.integers(0, 5, (32, 64, 3), dtype=np.uint8)
    assert len(np.unique(corruptions.superpixels(many, generator(), 1.0, 4), axis=0)) < 32


def test_noise_has_the_deviation_asked_for_in_each_channel_or_in_all_alike():
    grey = flat(128, 64, 256)
    apart = corruptions.gaussian_noise(grey, generator(), 12).astype(float) - 128
    assert apart.std() == pytest.approx(12, rel=0.02) and abs(apart.mean()) < 0.2
    assert abs(np.corrcoef(apart[..., 0].ravel(), apart[..., 1].ravel())[0, 1]) < 0.03
    alike = corruptions.gaussian_noise(grey, generator(), 12, per_channel=False)
    assert (alike == alike[..., :1]).all() and alike.std() == pytest.approx(12, rel=0.05)


def test_levels_of_noise_are_the_same_noise_stronger():
    grey = torch.full((1, 3, 16, 64), 128, dtype=torch.uint8)
    weak, strong = (degrade(grey, corruption("gaussian_noise", sigma), 0).double() - 128
                    for sigma in (5, 20))  # fmt: skip
    assert ((strong - 4 * weak).abs() <= 2.5).all()  # but for rounding


@pytest.mark.parametrize("kind, mild, strong", [("jpeg", 90, 5), ("resolution", 12, 6),
                                                ("mean_shift_blur", 5, 60)])  # fmt: skip
def test_a_stronger_level_takes_more(kind, mild, strong):
    lost = [np.abs(corruption(kind, level)(IMAGE, generator()).astype(int) - IMAGE).mean()
            for level in (mild, strong)]  # fmt: skip
    assert 0 < lost[0] < lost[1]


def test_each_published_degradation_comes_in_a_quarter_of_the_images_and_in_any_order(monkeypatch):
    def recorded(number):
        return lambda image, rng: drawn[-1].append(number) or image

    drawn = []
    monkeypatch.setattr(corruptions, "PUBLISHED", tuple(map(recorded, range(8))))
    for index in range(4000):
        drawn.append([])
        published(flat(0, 2, 2), generator(index))
    share = np.array([sum(number in row for row in drawn) for number in range(8)]) / 4000
    assert np.abs(share - 0.25).max() < 0.03  # four standard deviations
    pairs = [row.index(0) < row.index(7) for row in drawn if 0 in row and 7 in row]
    assert len(pairs) > 150 and 0.35 < np.mean(pairs) < 0.65


def test_published_parameters_are_drawn_from_the_published_ranges(monkeypatch):
    calls = {}
    names = ("gaussian_blur", "average_blur", "median_blur", "bilateral_blur", "motion_blur",
             "mean_shift_blur", "superpixels", "gaussian_noise")  # fmt: skip
    for name in names:
        given = calls.setdefault(name, [])
        monkeypatch.setattr(corruptions, name, lambda image, *a, given=given: given.append(
            [x for x in a if not isinstance(x, np.random.Generator)]) or image)  # fmt: skip
    rng = generator()
    for _ in range(600):
        for change in corruptions.PUBLISHED:
            change(IMAGE, rng)
    drawn = {name: np.array(given, dtype=float) for name, given in calls.items()}
    assert all(len(given) == 600 for given in drawn.values())

    def ends(name, column):
        return drawn[name][:, column].min(), drawn[name][:, column].max()

    for name, column, low, high in (
        ("gaussian_blur", 0, 0, 3), ("bilateral_blur", 1, 10, 250), ("bilateral_blur", 2, 10, 250),
        ("motion_blur", 1, 0, 360), ("motion_blur", 2, -1, 1), ("mean_shift_blur", 0, 5, 40),
        ("mean_shift_blur", 1, 5, 40), ("superpixels", 0, 0.1, 0.5),
        ("gaussian_noise", 0, 0, 12.75),
    ):  # fmt: skip
        assert ends(name, column) == pytest.approx((low, high), abs=0.02 * (high - low)), name
        assert low <= ends(name, column)[0] and ends(name, column)[1] <= high
    for name, column, values in (("average_blur", 0, range(1, 6)), ("median_blur", 0, range(3, 8)),
                                 ("bilateral_blur", 0, range(3, 10)), ("motion_blur", 0, [3]),
                                 ("superpixels", 1, range(1, 8))):  # fmt: skip
        assert set(drawn[name][:, column]) == set(values), name
    sizes = dict(drawn["gaussian_blur"])  # kernel by sigma
    assert all(size == max(int(3.3 * sigma), 5) | 1 for sigma, size in sizes.items())
    assert 0.4 < drawn["gaussian_noise"][:, 1].mean() < 0.6  # per channel half the time


@pytest.mark.parametrize("images", [
    torch.zeros(2, 3, 16, 64), torch.zeros(3, 16, 64, dtype=torch.uint8),
    torch.zeros(2, 16, 64, 3, dtype=torch.uint8),
])  # fmt: skip
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match=r"degrade expected images \(M, 3, H, W\) uint8, found"):
        degrade(images, published, 0)


def test_unknown_kinds_and_levels_are_refused():
    with pytest.raises(ValueError, match=r"expected a corruption of gaussian_blur, .* 'blur'"):
        corruption("blur", 1)
    with pytest.raises(ValueError, match=r"jpeg: expected a level \(quality\) from 1 to 100"):
        corruption("jpeg", 0)
    with pytest.raises(ValueError, match="zip"):
        degrade(noise_images(2), published, 0, indices=[0])
