"""Augmentation: a function of images, strength and generator, and of nothing on the host."""

import pytest
import torch

from kdltr.train.augment import Largest, _softening, augment


def images(n=6, size=(32, 128)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(32, 128), (16, 64)])
def test_shape_range_and_determinism(size):
    given = images(size=size)
    kept = given.clone()
    changed = augment(given, 1.0, seeded())
    assert changed.shape == given.shape and changed.dtype == torch.float32
    assert changed.min() >= 0 and changed.max() <= 1 and torch.equal(given, kept)
    assert torch.equal(changed, augment(given, 1.0, seeded()))
    assert not torch.equal(changed, augment(given, 1.0, seeded(1)))


def test_strength_0_is_the_image_itself_and_little_strength_changes_little():
    given = images()
    assert augment(given, 0.0, seeded()) is given
    assert (augment(given, 1e-5, seeded()) - given).abs().max() < 1e-2
    apart = [(augment(given, s, seeded()) - given).abs().mean() for s in (0.1, 0.3, 1.0)]
    assert apart == sorted(apart) and apart[0] > 0


def test_images_of_a_batch_get_different_draws():
    same = images(1).expand(6, -1, -1, -1)
    changed = augment(same, 1.0, seeded())
    for i in range(6):
        for j in range(i):
            assert (changed[i] - changed[j]).abs().mean() > 0.01


NOTHING = dict.fromkeys(Largest.__dataclass_fields__, 0.0)


def only(**change):
    return Largest(**NOTHING | change)


@pytest.mark.parametrize("name", NOTHING)
def test_each_change_is_made_by_its_setting_alone(name):
    given = images()
    assert (augment(given, 1.0, seeded(), only()) - given).abs().max() < 1e-4
    most = 30 if name == "rotation" else 0.9
    assert (augment(given, 1.0, seeded(), only(**{name: most})) - given).abs().mean() > 0.01


def test_a_turn_keeps_right_angles_in_pixels():
    """A cross in the middle stays one: its arms as long as before, at right angles."""
    cross = torch.zeros(8, 3, 64, 256)
    cross[:, :, 31:33, 108:148] = 1
    cross[:, :, 12:52, 127:129] = 1
    turned = augment(cross, 1.0, seeded(), only(rotation=30))[:, 0]
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(256) - 127.5, indexing="ij")
    mass = turned.sum((1, 2))
    moments = torch.stack([(turned * a * b).sum((1, 2)) / mass for a, b in
                           ((x, x), (y, y), (x, y))])  # fmt: skip
    torch.testing.assert_close(moments[0], moments[1], rtol=0.03, atol=0.5)
    assert moments[2].abs().max() < 1.5  # of 100: no axis longer than the other
    assert (turned - cross[:, 0]).abs().mean() > 0.005


def test_a_shift_of_all_images_is_within_bounds_and_differs():
    line = torch.zeros(16, 3, 8, 100)
    line[..., 50] = 1
    moved = augment(line, 1.0, seeded(), only(shift_across=0.1))[:, 0, 4]
    moved = (moved * torch.arange(100)).sum(-1) - 50
    assert moved.abs().max() <= 10.01 and moved.min() < -3 and moved.max() > 3


def test_softening_is_identity_then_blur_then_fewer_pixels():
    none, blur, fewer = _softening(32, torch.tensor([0.0, 2.0, 0.0]), torch.tensor([1.0, 1.0, 4.0]))
    torch.testing.assert_close(none, torch.eye(32))
    for matrix in (blur, fewer):
        torch.testing.assert_close(matrix.sum(-1), torch.ones(32))  # grey stays grey
    place = torch.arange(32.0)
    assert ((blur[16] * (place - 16) ** 2).sum().sqrt() - 2).abs() < 0.05
    # Eight pixels are left of 32: the rank of what can pass.
    assert torch.linalg.matrix_rank(fewer) == 8


def test_nothing_is_read_back_from_the_device():
    """On the meta device there is nothing to read: a question for a value raises."""
    given = torch.empty(4, 3, 32, 128, device="meta")
    assert augment(given, 1.0).shape == given.shape
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(given.sum() > 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_never_waited_for():
    given = images().cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    augment(given, 1.0, generator)
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment(given, 1.0, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
