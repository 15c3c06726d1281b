"""Every kind of image file becomes (H, W, 3) uint8 RGB, or a clear error."""

import io

import numpy as np
import pytest
from PIL import Image

from kdltr.data.images import encode_png, read_image, resize
from kdltr.data.records import ImageError


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def word():
    return np.random.default_rng(0).integers(0, 256, (8, 20, 3), dtype=np.uint8)


def test_path_bytes_and_file_object_agree(tmp_path, word):
    path = tmp_path / "word.png"
    path.write_bytes(encode_png(word))
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file):
            np.testing.assert_array_equal(read_image(source), word)


def test_grey_is_repeated():
    grey = np.arange(40, dtype=np.uint8).reshape(4, 10)
    read = read_image(encoded(Image.fromarray(grey)))
    assert read.shape == (4, 10, 3) and read.dtype == np.uint8
    assert (read == grey[:, :, None]).all()


def test_rgba_lies_over_white():
    rgba = np.zeros((4, 6, 4), np.uint8)  # black, transparent on the left, opaque on the right
    rgba[:, 3:, 3] = 255
    read = read_image(encoded(Image.fromarray(rgba)))
    assert (read[:, :3] == 255).all() and (read[:, 3:] == 0).all()


def test_transparent_palette_colour_is_white():
    image = Image.new("P", (6, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    read = read_image(encoded(image, transparency=0))
    assert (read == 255).all()


def test_16_bit_is_scaled():
    grey = np.array([[0, 257, 40000], [65535, 128, 129]], dtype=np.uint16)
    read = read_image(encoded(Image.fromarray(grey)))
    assert read[:, :, 0].tolist() == [[0, 1, 156], [255, 0, 1]]


def test_16_bit_colour_is_scaled():
    cv2 = pytest.importorskip("cv2")
    content = cv2.imencode(".png", np.full((4, 5, 3), 40000, np.uint16))[1].tobytes()
    assert (read_image(content) == 156).all()


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (read_image(content) == [255, 0, 0]).all()


def test_1x1_is_refused():
    with pytest.raises(ImageError, match=r"at least 2 pixels.*found 1×1"):
        read_image(encoded(Image.new("RGB", (1, 1))))


def test_no_image_is_refused(tmp_path):
    note = tmp_path / "note.png"
    note.write_text("not an image")
    with pytest.raises(ImageError, match=r"note.png: expected a PNG.*found.*not an i"):
        read_image(note)
    with pytest.raises(ImageError, match="an empty file"):
        read_image(b"")
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_truncated_is_refused(word, kind):
    content = encoded(Image.fromarray(word), kind)
    with pytest.raises(ImageError, match=r"damaged or cut short|expected a PNG"):
        read_image(content[: len(content) // 2])


def test_floating_point_is_refused():
    with pytest.raises(ImageError, match="floating-point"):
        read_image(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))


def test_resize_is_pillow_bicubic_on_uint8(word):
    small = resize(word, (4, 10))
    expected = Image.fromarray(word).resize((10, 4), Image.Resampling.BICUBIC)
    assert small.dtype == np.uint8 and small.shape == (4, 10, 3)
    np.testing.assert_array_equal(small, np.asarray(expected))
    with pytest.raises(ImageError, match="expected an"):
        resize(word.astype(np.float32), (4, 10))
