"""Safe decoding: an untrusted file becomes an upright RGB array, or a reason why it cannot.

The rules, in the order in which they are applied, so that a hostile file is refused before it costs anything:

1. a regular file (no symbolic link, folder, pipe or device), not empty, of at most ``max_bytes``;
2. one of :data:`FORMATS`, told by content, never by name; no other decoder of Pillow is ever started;
3. by its header, at most ``max_pixels`` (a decompression bomb is an error, not a warning) and at least ``min_side``;
4. decoded completely (``LOAD_TRUNCATED_IMAGES`` stays off: a cut file is refused, not filled with grey), first frame only;
5. upright (EXIF orientation), then RGB: grey and palette spread, transparency laid over white, CMYK converted,
   16-bit divided by 257, float images taken as [0, 1] (or as their own range where they exceed it).
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")
"""Pillow's names of the decoders allowed; ``PPM`` is the netpbm family (PBM, PGM, PPM, PNM, PFM)."""

SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .ppm .pgm .pbm .pnm .pfm".split())
"""File names that :func:`find_images` takes for images (case does not matter)."""


@dataclass(frozen=True)
class Unusable:
    """Why an image cannot be used; ``reason`` is a phrase for the user."""

    reason: str


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image.

    Attributes
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    """

    pixels: np.ndarray

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


@dataclass(frozen=True)
class DecodingLimits:
    """Caps of :func:`decode_image`.

    Attributes
    ----------
    max_bytes : int
        Largest file, bytes (default 64 MiB).
    max_pixels : int
        Largest width times height (default 50 megapixels: 150 MB of RGB).
    min_side : int
        Smallest width and height, pixels (default 32: MTCNN was built for faces of 20 px and more, and what is smaller
        carries neither an expression nor an identity).
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 50_000_000
    min_side: int = 32


ImageSource = str | os.PathLike | bytes | np.ndarray


def decode_image(source: ImageSource, limits: DecodingLimits | None = None) -> DecodedImage | Unusable:
    """Decode one image under the rules of this module; never raises for what the image is.

    Parameters
    ----------
    source : path, bytes or ndarray
        A file, the content of a file, or pixels: uint8 of shape (h, w), (h, w, 3) RGB or (h, w, 4) RGBA.
    limits : DecodingLimits, optional

    Returns
    -------
    DecodedImage or Unusable
    """
    limits = limits or DecodingLimits()
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if not isinstance(source, bytes):
        content = read_image_bytes(source, limits)
        if isinstance(content, Unusable):
            return content
        source = content
    return _from_bytes(source, limits)


def read_image_bytes(path: str | os.PathLike, limits: DecodingLimits | None = None) -> bytes | Unusable:
    """Read a regular file of at most ``limits.max_bytes``; links, pipes and devices are refused without opening them."""
    limits = limits or DecodingLimits()
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return Unusable("symbolic link, not followed")
        if not stat.S_ISREG(info.st_mode):
            return Unusable("not a regular file")
        # O_NOFOLLOW and O_NONBLOCK close the gap between the look and the opening (absent on Windows)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Unusable("not a regular file")
            content = file.read(limits.max_bytes + 1)
    except FileNotFoundError:
        return Unusable("file not found")
    except (OSError, ValueError) as error:
        return Unusable(f"cannot be read ({getattr(error, 'strerror', None) or error})")
    if not content:
        return Unusable("empty file")
    if len(content) > limits.max_bytes:
        return Unusable(f"file is larger than {limits.max_bytes} bytes")
    return content


def image_size(path: str | os.PathLike, limits: DecodingLimits | None = None) -> tuple[int, int] | Unusable:
    """Width and height of the upright image by its header alone, pixels (the same refusals as :func:`decode_image`)."""
    from PIL import Image, UnidentifiedImageError

    limits = limits or DecodingLimits()
    content = read_image_bytes(path, limits)
    if isinstance(content, Unusable):
        return content
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except UnidentifiedImageError:
        return Unusable("not an image of an allowed format (JPEG, PNG, WEBP, BMP, PNM)")
    except Exception as error:  # see _from_bytes
        return Unusable(f"damaged ({type(error).__name__})")
    return (height, width) if turned else (width, height)


def find_images(source: str | os.PathLike) -> tuple[Path, list[Path]]:
    """List the images of a folder (any depth, sorted by path), or take a single file.

    Names that start with a dot and other file types are passed over; symbolic links to files are listed (and then
    refused by :func:`decode_image` with their reason), links to folders are not walked into.

    Returns
    -------
    root : Path
        The folder that image names are relative to.
    files : list of Path

    Raises
    ------
    InputError
        If there is nothing at ``source``.
    """
    root = Path(source)
    if root.is_file():
        return root.parent, [root]
    if not root.is_dir():
        raise InputError(f"there is no file or folder at {root}; give a folder of images or an image file")
    found: list[Path] = []
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in names
                  if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES]
    return root, sorted(found, key=lambda path: str(path).replace(os.sep, "/"))


def relative_names(root: Path, files: Iterable[Path]) -> list[str]:
    """Names of files below ``root``, with forward slashes; a name that is no UTF-8 is told by its bytes."""
    above = 0 if str(root) == os.curdir else len(os.path.join(root, ""))
    return [os.fsencode(str(file)[above:].replace(os.sep, "/")).decode("utf-8", "backslashreplace") for file in files]


def _from_bytes(content: bytes, limits: DecodingLimits) -> DecodedImage | Unusable:
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        return Unusable("empty file")
    if len(content) > limits.max_bytes:
        return Unusable(f"file is larger than {limits.max_bytes} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                refusal = _check_size(*image.size, limits)
                if refusal is not None:
                    return refusal
                image.seek(0)
                image.load()
                upright = ImageOps.exif_transpose(image)
                pixels = _to_rgb(upright if upright is not None else image)
    except UnidentifiedImageError:
        return Unusable("not an image of an allowed format (JPEG, PNG, WEBP, BMP, PNM)")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Unusable(f"more than {limits.max_pixels} pixels")
    except MemoryError:
        return Unusable("too large for the memory")
    except Exception as error:  # decoders raise almost anything on damaged files: SyntaxError, struct.error, KeyError, ...
        text = str(error).strip().splitlines()
        return Unusable(f"damaged or truncated ({(text[0] if text else type(error).__name__)[:120]})")
    return pixels if isinstance(pixels, Unusable) else DecodedImage(pixels)


def _check_size(width: int, height: int, limits: DecodingLimits) -> Unusable | None:
    if width * height > limits.max_pixels:
        return Unusable(f"more than {limits.max_pixels} pixels ({width} x {height})")
    if min(width, height) < limits.min_side:
        return Unusable(f"smaller than {limits.min_side} pixels on a side ({width} x {height})")
    return None


def _to_rgb(image) -> np.ndarray | Unusable:
    """Turn any mode that the allowed decoders give into uint8 RGB, shape (h, w, 3)."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return _spread(np.asarray(image).astype(np.float32) / 257.0)
    if image.mode == "I":  # 16-bit PGM: Pillow stretches every depth above 8 bit to 0..65535
        return _spread(np.asarray(image).astype(np.float32) / 257.0)
    if image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        if not np.isfinite(values).all():
            return Unusable("pixel values are not finite")
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 1.0)
        return _spread((values - low) * (255.0 / (high - low)))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _spread(grey: np.ndarray) -> np.ndarray:
    """Grey values in [0, 255] to uint8 RGB."""
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _from_array(array: np.ndarray, limits: DecodingLimits) -> DecodedImage | Unusable:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        return Unusable(f"an array must be uint8 of shape (h, w), (h, w, 3) or (h, w, 4), not {array.dtype} {array.shape}")
    refusal = _check_size(array.shape[1], array.shape[0], limits)
    if refusal is not None:
        return refusal
    if array.ndim == 2 or array.shape[2] == 1:
        return DecodedImage(np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2))
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.float32) / 255.0
        return DecodedImage(np.rint(array[:, :, :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8))
    return DecodedImage(np.ascontiguousarray(array))
