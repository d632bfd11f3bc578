"""Hostile image files, made on the spot from rendered faces: cut, flipped, swollen, misnamed, linked, empty."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from tests.perception.material import ROOT

FACES = sorted((ROOT / "perception" / "personas" / "shipped" / "images").rglob("enrol_0.webp"))[:12]
KINDS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")
SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "PPM": ".ppm"}


def encoded(generator: np.random.Generator, kind: str | None = None) -> tuple[bytes, str]:
    """A face in one of the five formats, and the format's suffix."""
    kind = kind or str(generator.choice(KINDS))
    with Image.open(FACES[int(generator.integers(len(FACES)))]) as image:
        stream = io.BytesIO()
        image.convert("RGB").save(stream, kind)
    return stream.getvalue(), SUFFIX[kind]


def cut(generator: np.random.Generator) -> tuple[bytes, str]:
    content, suffix = encoded(generator)
    return content[: int(generator.integers(1, len(content)))], suffix


def flipped(generator: np.random.Generator) -> tuple[bytes, str]:
    content, suffix = encoded(generator)
    changed = bytearray(content)
    for at in generator.integers(0, len(changed), int(generator.integers(1, 60))):
        changed[at] ^= 1 << int(generator.integers(8))
    return bytes(changed), suffix


def header_flipped(generator: np.random.Generator) -> tuple[bytes, str]:
    content, suffix = encoded(generator)
    changed = bytearray(content)
    for at in generator.integers(0, min(64, len(changed)), 4):
        changed[at] = int(generator.integers(256))
    return bytes(changed), suffix


def overwritten(generator: np.random.Generator) -> tuple[bytes, str]:
    content, suffix = encoded(generator)
    a, b = sorted(int(v) for v in generator.integers(0, len(content), 2))
    return content[:a] + bytes(b - a) + content[b:], suffix


def glued(generator: np.random.Generator) -> tuple[bytes, str]:
    (a, suffix), (b, _) = encoded(generator), encoded(generator)
    return a[: len(a) // 2] + b[len(b) // 2:], suffix


def misnamed(generator: np.random.Generator) -> tuple[bytes, str]:
    content, suffix = encoded(generator)
    other = [s for s in SUFFIX.values() if s != suffix]
    return content, other[int(generator.integers(len(other)))]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(width: int, height: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A grey PNG with the sides claimed and whatever (compressed) rows."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


@lru_cache(maxsize=2)
def zeros(count: int) -> bytes:
    """Compressed zeros."""
    return zlib.compress(bytes(count), 9)


BOMBS = 6


def bomb_of(which: int, side: int) -> tuple[bytes, str]:
    """One of six bombs: four that claim ``side`` pixels a side, two that swell when inflated."""
    if which == 0:
        return png_of(side, side, zlib.compress(bytes(1000))), ".png"
    if which == 1:
        return f"P6 {side} {side} 255\n".encode() + bytes(100), ".ppm"
    if which == 2:
        return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0), ".bmp"
    if which == 3:  # the largest canvas that WebP knows, in thirty bytes
        frame = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + struct.pack("<I", 16_382)[:3] * 2
        return b"RIFF" + struct.pack("<I", 4 + len(frame)) + b"WEBP" + frame, ".webp"
    if which == 4:  # a small picture with a text chunk that swells a thousandfold
        return png_of(64, 64, zlib.compress(bytes(65 * 64)), _chunk(b"zTXt", b"a\0\0" + zeros(30_000_000))), ".png"
    return png_of(64, 64, zeros(30_000_000)), ".png"  # more rows than the header says


def bomb(generator: np.random.Generator) -> tuple[bytes, str]:
    return bomb_of(int(generator.integers(BOMBS)), int(generator.integers(8_000, 60_000)))


def tiny(generator: np.random.Generator) -> tuple[bytes, str]:
    stream = io.BytesIO()
    kind = str(generator.choice(KINDS))
    Image.new("RGB", (int(generator.integers(1, 32)), int(generator.choice([1, 2, 500])))).save(stream, kind)
    return stream.getvalue(), SUFFIX[kind]


def animated(generator: np.random.Generator) -> tuple[bytes, str]:
    kind = str(generator.choice(["PNG", "WEBP", "GIF"]))
    frames = [Image.open(FACES[k]).convert("RGB").resize((96, 96)) for k in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    return stream.getvalue(), SUFFIX.get(kind, ".jpg")


def foreign(generator: np.random.Generator) -> tuple[bytes, str]:
    texts = (b"<html>", b"GIF89a" + bytes(20), b"%PDF-1.7", b"\x00" * 500, b"II*\x00" + bytes(200), b"PK\x03\x04", b"",
             bytes(generator.integers(0, 256, 400, dtype=np.uint8)), b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"MZ" + bytes(64))
    return texts[int(generator.integers(len(texts)))], str(generator.choice(list(SUFFIX.values())))


def odd_mode(generator: np.random.Generator) -> tuple[bytes, str]:
    with Image.open(FACES[int(generator.integers(len(FACES)))]) as image:
        rgb = image.convert("RGB")
    stream = io.BytesIO()
    which = int(generator.integers(6))
    if which == 0:
        rgb.convert("CMYK").save(stream, "JPEG")
        return stream.getvalue(), ".jpg"
    if which == 1:
        Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257).save(stream, "PNG")
    elif which == 2:
        rgb.convert("P", palette=Image.Palette.ADAPTIVE).save(stream, "PNG", transparency=3)
    elif which == 3:
        rgb.convert("1").save(stream, "PNG")
    elif which == 4:
        rgb.convert("LA").save(stream, "PNG")
    else:
        exif = Image.Exif()
        exif[0x0112] = int(generator.integers(0, 20))
        rgb.save(stream, "JPEG", exif=exif)
        return stream.getvalue(), ".jpg"
    return stream.getvalue(), ".png"


MUTATIONS: tuple[Callable[[np.random.Generator], tuple[bytes, str]], ...] = (
    cut, flipped, header_flipped, overwritten, glued, misnamed, bomb, tiny, animated, foreign, odd_mode)
NAMES = ("plain", "mit Umlaut äöü", "名前", "emoji 🙂", "new\nline", "quote'\"", "semi;colon&amp", "-dash", "per%cent{0}", "…", "trailing ")


def hostile_files(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write ``count`` files, every kind and every kind of name, some of them links, pipes and names that are no UTF-8.

    Returns
    -------
    list of Path
        Those that a folder listing shows as images.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder.parent / "outside.png"
    target.write_bytes(encoded(generator, "PNG")[0])
    files = []
    for k in range(count):
        stem = f"{NAMES[int(generator.integers(len(NAMES)))]} {k}"
        special = k % 40
        if special == 7:
            file = folder / f"{stem}.png"
            file.symlink_to(target if k % 80 == 7 else folder / "nowhere")
        elif special == 17 and hasattr(os, "mkfifo"):
            file = folder / f"{stem}.jpg"
            os.mkfifo(file)
        elif special == 27:
            file = Path(os.fsdecode(os.fsencode(folder) + f"/raw {k} ".encode() + b"\xff\xfe.jpg"))
            file.write_bytes(encoded(generator, "JPEG")[0])
        else:
            content, suffix = MUTATIONS[k % len(MUTATIONS)](generator)
            file = folder / f"{stem}{suffix.upper() if k % 5 == 0 else suffix}"
            file.write_bytes(content)
        files.append(file)
    return files
