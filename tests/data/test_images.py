"""Every kind of image file becomes (H, W, 3) uint8 RGB, or a clear error."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageFile, features
from PIL.PngImagePlugin import PngInfo

from kdltr.data.images import encode_png, image_files, read_image, resize
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
    image.putpalette([10, 20, 30, 0, 100, 50])
    image.paste(1, (0, 0, 3, 4))
    read = read_image(encoded(image, transparency=0))
    assert (read[:, 3:] == 255).all() and (read[:, :3] == [0, 100, 50]).all()


def test_16_bit_is_scaled():
    grey = np.array([[0, 257, 40000], [65535, 128, 129]], dtype=np.uint16)
    read = read_image(encoded(Image.fromarray(grey)))
    assert read[:, :, 0].tolist() == [[0, 1, 156], [255, 0, 1]]


def test_16_bit_colour_is_scaled():
    cv2 = pytest.importorskip("cv2")
    content = cv2.imencode(".png", np.full((4, 5, 3), 40000, np.uint16))[1].tobytes()
    assert (read_image(content) == 156).all()


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP", "AVIF"])
def test_of_several_pages_or_frames_the_first_is_read_and_their_number_said(caplog, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow has no AVIF here")
    pages = [Image.new("RGB", (32, 16), colour) for colour in ("red", "lime", "blue")]
    for others in ([], pages[1:]):
        buffer = io.BytesIO()
        pages[0].save(buffer, kind, save_all=True, append_images=others)
        red, green, blue = read_image(buffer.getvalue()).mean(axis=(0, 1))
        assert red > 240 and max(green, blue) < 15
        said = [record.getMessage() for record in caplog.records]
        assert [("3 pages" in line) for line in said] == [True] * bool(others)


def test_a_preview_beside_the_picture_is_no_page(caplog):
    picture, preview = Image.new("RGB", (32, 16), "red"), Image.new("RGB", (8, 4), "lime")
    scanned, photographed = io.BytesIO(), io.BytesIO()
    preview.encoderinfo = {"tiffinfo": {254: 1}}  # a smaller form of another page
    picture.save(scanned, "TIFF", save_all=True, append_images=[preview])
    picture.save(photographed, "MPO", save_all=True, append_images=[preview])
    for file, kind in ((scanned, "TIFF"), (photographed, "MPO")):
        with Image.open(file) as image:
            assert (image.format, image.n_frames) == (kind, 2)
        assert read_image(file.getvalue()).mean(axis=(0, 1))[0] > 240
    assert not caplog.records


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


def test_a_long_text_beside_the_pixels_is_no_damage(word):
    buffer, info = io.BytesIO(), PngInfo()
    info.add_text("drawing", "x" * (2 << 20), zip=True)
    Image.fromarray(word).save(buffer, "PNG", pnginfo=info)
    np.testing.assert_array_equal(read_image(buffer.getvalue()), word)


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


TURNED = {  # how a camera held so stores the upright picture
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


@pytest.fixture
def blocks():
    """A picture without symmetry that every format keeps nearly as it is: (32, 64, 3)."""
    corners = np.array([[0, 80, 160, 240], [200, 255, 40, 120]], np.uint8)
    return np.repeat(np.kron(corners, np.ones((16, 16), np.uint8))[:, :, None], 3, axis=2)


def close(read, expected):
    return read.shape == expected.shape and np.abs(read.astype(int) - expected).max() < 24


@pytest.mark.parametrize("tag", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_picture_is_read_as_its_exif_says_it_stands(blocks, kind, tag):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    exif = Image.Exif()
    exif[274] = tag
    stored = Image.fromarray(blocks).transpose(TURNED[tag])
    content = encoded(stored, kind, exif=exif)
    assert close(read_image(content), blocks)
    assert close(read_image(encoded(stored, kind)), np.asarray(stored))  # says nothing


@pytest.mark.parametrize("attribute", ['tiff:Orientation="6"', "tiff:Orientation='6'",
                                       "tiff:Orientation = '6'",
                                       "<tiff:Orientation>6</tiff:Orientation>"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_read_as_its_xmp_says_it_stands(blocks, kind, attribute):
    stored, xmp = Image.fromarray(blocks).transpose(TURNED[6]), f"<x {attribute}/>".encode()
    beside = {"xmp": xmp}
    if kind == "PNG":
        beside = {"pnginfo": PngInfo()}
        beside["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    assert close(read_image(encoded(stored, kind, **beside)), blocks)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00MM\x00*\x00\x00\x00\xff",
                                  b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01"])
def test_a_picture_with_damaged_exif_is_read_as_it_stands(blocks, exif):
    assert close(read_image(encoded(Image.fromarray(blocks), "JPEG", exif=exif)), blocks)


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (120, 255), (255, 0), (225, 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_ink_on_transparency_shows_whatever_its_colour(ink, ground, mode):
    shape = np.zeros((8, 20), np.uint8)
    shape[2:6, 3:9] = 255
    layers = [Image.new("L", (20, 8), ink)] * (len(mode) - 1) + [Image.fromarray(shape)]
    read = read_image(encoded(Image.merge(mode, layers)))
    assert (read[2:6, 3:9] == ink).all() and (read[0] == ground).all()


def test_light_ink_shows_where_one_grey_is_transparent():
    grey = np.full((8, 20), 40000, np.uint16)
    grey[2:6, 3:9] = 65535
    read = read_image(encoded(Image.fromarray(grey), transparency=40000))
    assert (read[2:6, 3:9] == 255).all() and (read[0] == 0).all()


def test_nothing_but_transparency_is_refused():
    for colour in ((0, 0, 0, 0), (255, 255, 255, 0), (9, 99, 199, 120)):
        with pytest.raises(ImageError, match="nothing but transparency"):
            read_image(encoded(Image.new("RGBA", (20, 8), colour)))
    assert (read_image(encoded(Image.new("RGBA", (20, 8), "white"))) == 255).all()  # opaque


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_greys_are_scaled_by_the_bits_they_use(bits, kind):
    full = 2**bits - 1
    grey = np.array([[0, full // 2, full]] * 2, np.int32)
    wide = Image.fromarray(grey) if kind == "TIFF" else Image.fromarray(grey.astype(np.uint16))
    found = read_image(encoded(wide, kind))[0, :, 0].tolist()
    assert found == [0, 127, 255] or found == [0, 128, 255]


@pytest.mark.parametrize("bits", [12, 14, 16])
def test_wide_colours_are_scaled_by_the_bits_they_use(bits):
    cv2 = pytest.importorskip("cv2")
    colours = np.array([[[0] * 3, [2**bits - 1] * 3]] * 2, np.uint16)
    for suffix in (".png", ".tiff"):
        content = cv2.imencode(suffix, colours)[1].tobytes()
        assert read_image(content)[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, IndexError, MemoryError])
def test_whatever_a_decoder_raises_becomes_one_message(monkeypatch, word, error):
    def load(self):
        raise error("inside")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(ImageError, match="image of .*inside"):
        read_image(encode_png(word))


def test_an_image_of_too_many_pixels_is_not_called_damaged(monkeypatch, word):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ImageError, match="too many pixels") as caught:
        read_image(encode_png(word))
    assert "damaged" not in str(caught.value)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow would warn
    assert read_image(encode_png(word)).shape == word.shape


@pytest.mark.parametrize(("content", "kind"), [
    (b"\n <!DOCTYPE html><html>", "a web page"), (b"version https://git-lfs.github", "Git LFS"),
    (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"), (b"%PDF-1.7", "PDF"),
    (b"<svg xmlns=''>", "SVG"),
])
def test_what_is_no_image_is_named(content, kind):
    with pytest.raises(ImageError, match=f"found an? .*{kind}|found {kind}"):
        read_image(content)


def test_a_drawing_is_not_handed_to_another_program():
    with pytest.raises(ImageError, match="EPS is a drawing.*save it as PNG"):
        read_image(encoded(Image.new("RGB", (20, 8)), "EPS"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="a pipe or device"):
        read_image(tmp_path / "pipe.png")


def test_home_is_understood(tmp_path, monkeypatch, word):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "word.png").write_bytes(encode_png(word))
    assert (read_image("~/word.png") == word).all()
    assert image_files("~") == [tmp_path / "word.png"]


def test_images_of_a_folder_are_found_by_any_spelling_of_their_suffix(tmp_path):
    names = ["IMG_1.JPG", "a.jpeg", "b.WebP", "c.png", "d.Tiff"]
    for name in [*names, "notes.txt", ".hidden.png", "labels.tsv"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == names
    for path, said in ((tmp_path / "folder.png", "found none"), (tmp_path / "no", "nothing there"),
                       (tmp_path / "c.png", "found a file")):
        with pytest.raises(ImageError, match=said):
            image_files(path)
