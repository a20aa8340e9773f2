"""Your own images: a folder that has one folder of images for each class."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def load_images(
    path: str | os.PathLike[str], size: int | tuple[int, int] | None = None, channels: int = 3
) -> tuple[Array, Array, tuple[str, ...]]:
    """Load the images of a folder that has one folder for each class.

    ::

        pets/cats/tom.jpg
        pets/cats/kitty.png
        pets/dogs/rex.jpg

    Classes and files are taken in the order of their names; files that begin with a dot, and those
    with other endings than those of images, are left out. Turned photographs are set upright.

    Parameters
    ----------
    path
        The folder; deeper folders belong to the class that they are in.
    size : int or (height, width), optional
        The size of all images: they are scaled, keeping their proportions, until they cover it, and
        cropped in the middle. By default they all have to have one size.
    channels : {3, 1}
        Color or gray.

    Returns
    -------
    x : (N, H, W, channels) uint8
    y : (N,) int64
        Indices into `classes`.
    classes : tuple of str
        The folders' names.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    ValueError
        If there are no classes, or a class has no image; a file is not an image, or too large;
        sizes differ and none is given. The message names the file.
    ImportError
        If Pillow is not installed.

    Examples
    --------
    >>> import elunet as eln
    >>> try:
    ...     x, y, classes = eln.data.load_images("pets", size=32)
    ... except FileNotFoundError as error:
    ...     print(error)
    load_images: expected a folder with a folder for each class, got no pets
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(
            "load_images: expected Pillow to be installed (python -m pip install pillow), got none"
        ) from error
    if channels not in (1, 3):
        raise ValueError(f"load_images: expected channels to be 3 or 1, got {channels!r}")
    too_large = Image.DecompressionBombWarning, Image.DecompressionBombError
    height_width = _size(size)
    folder = Path(path)
    classes, files = _files(folder)
    images: list[Array] = []
    for file, _ in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file) as opened:
                    image = ImageOps.exif_transpose(opened).convert("RGB" if channels == 3 else "L")
        except (OSError, ValueError, SyntaxError, *too_large) as error:
            raise ValueError(f"load_images: expected {file} as an image, got {error}") from error
        if height_width is not None:
            image = ImageOps.fit(image, height_width[::-1], Image.Resampling.BILINEAR)
        array = np.asarray(image, np.uint8).reshape(image.height, image.width, channels)
        if images and array.shape != images[0].shape:
            raise ValueError(
                f"load_images: expected images of one size, or size=, got {file} of"
                f" {array.shape[:2]} after {images[0].shape[:2]}"
            )
        images.append(array)
    return np.stack(images), np.array([label for _, label in files], np.int64), classes


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if not isinstance(size, tuple | list) else tuple(size)
    if len(pair) != 2:
        raise ValueError(f"load_images: expected size as a number or (height, width), got {size!r}")
    height, width = (integer("load_images", "size", side) for side in pair)
    return height, width


def _files(folder: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """Return the classes, and each image with its class."""
    if not folder.exists():
        raise FileNotFoundError(
            f"load_images: expected a folder with a folder for each class, got no {folder}"
        )
    if not folder.is_dir():
        raise NotADirectoryError(f"load_images: expected {folder} to be a folder, got a file")
    inside = sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] != ".")
    if not inside:
        raise ValueError(f"load_images: expected a folder for each class in {folder}, got none")
    found: list[tuple[Path, int]] = []
    for label, place in enumerate(inside):
        its = sorted(
            file
            for file in place.rglob("*")
            if file.suffix.lower() in ENDINGS and file.name[0] != "." and file.is_file()
        )
        if not its:
            raise ValueError(f"load_images: expected images in {place}, got none")
        found += [(file, label) for file in its]
    return tuple(place.name for place in inside), found
