"""Images of one's own, in a folder for each class."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from elunet.data import load_images

Image = pytest.importorskip("PIL.Image")


def draw(file, height=6, width=8, color=(250, 10, 20), mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((height, width, 3), np.uint8)
    array[: height // 2] = color
    Image.fromarray(array).convert(mode).save(file)
    return array


def test_classes_in_the_order_of_their_names(tmp_path):
    first = draw(tmp_path / "dogs" / "rex.png")
    second = draw(tmp_path / "cats" / "tom.png", color=(1, 2, 3))
    third = draw(tmp_path / "cats" / "more" / "a.PNG", color=(4, 5, 6))
    (tmp_path / "cats" / "notes.txt").write_text("no image")
    (tmp_path / "cats" / ".hidden.png").write_text("no image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("no class")
    x, y, classes = load_images(tmp_path)
    assert classes == ("cats", "dogs")
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(x, [third, second, first])
    np.testing.assert_array_equal(y, [0, 0, 1])


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_kinds_of_images(tmp_path, mode, channels):
    draw(tmp_path / "a" / ("x.tif" if mode == "CMYK" else "x.png"), mode=mode)
    x, _, _ = load_images(tmp_path, channels=channels)
    assert x.shape == (1, 6, 8, channels)


def test_one_size_for_all(tmp_path):
    draw(tmp_path / "a" / "wide.png", 10, 40)
    draw(tmp_path / "a" / "high.png", 40, 10)
    x, _, _ = load_images(tmp_path, size=8)
    assert x.shape == (2, 8, 8, 3)
    x, _, _ = load_images(tmp_path, size=(4, 12))
    assert x.shape == (2, 4, 12, 3)
    with pytest.raises(
        ValueError, match=r"images of one size, or size=, got .*wide.png of \(10, 40\)"
    ):
        load_images(tmp_path)


def test_a_turned_photograph_is_set_upright(tmp_path):
    array = np.zeros((6, 8, 3), np.uint8)
    image = Image.fromarray(array)
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "x.jpg", exif=exif)
    assert load_images(tmp_path)[0].shape == (1, 8, 6, 3)


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="expected a folder with a folder for each class"):
        load_images(tmp_path / "none")
    with pytest.raises(ValueError, match="expected a folder for each class in .*, got none"):
        load_images(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="to be a folder, got a file"):
        load_images(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected images in .*empty, got none"):
        load_images(tmp_path)
    (tmp_path / "empty" / "x.png").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="expected .*x.png as an image, got"):
        load_images(tmp_path)
    draw(tmp_path / "empty" / "x.png")
    cut = (tmp_path / "empty" / "x.png").read_bytes()[:45]
    (tmp_path / "empty" / "x.png").write_bytes(cut)
    with pytest.raises(ValueError, match="expected .*x.png as an image, got"):
        load_images(tmp_path)
    with pytest.raises(ValueError, match="expected channels to be 3 or 1, got 4"):
        load_images(tmp_path, channels=4)
    for size in (0, (8, 8, 3)):
        with pytest.raises(ValueError, match="expected size"):
            load_images(tmp_path, size=size)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    draw(tmp_path / "empty" / "x.png")
    with pytest.raises(ValueError, match="x.png as an image, got Image size"):
        load_images(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="expected Pillow to be installed"):
        load_images(tmp_path)
