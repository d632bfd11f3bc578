"""Untrusted files become upright RGB arrays or reasons, never exceptions."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from perception.errors import InputError
from perception.image_io import DecodedImage, DecodingLimits, Unusable, decode_image, find_images


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def reason(source: object, **limits: int) -> str:
    result = decode_image(source, DecodingLimits(**limits))
    assert isinstance(result, Unusable), f"decoded {result}"
    return result.reason


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "PPM"])
def test_five_lossless_formats_give_the_very_pixels(photograph, form):
    options = {"lossless": True} if form == "WEBP" else {}
    result = decode_image(encoded(Image.fromarray(photograph), form, **options))
    np.testing.assert_array_equal(result.pixels, photograph)


def test_a_jpeg_comes_within_12_grey_levels(photograph):
    result = decode_image(encoded(Image.fromarray(photograph), "JPEG", quality=95, subsampling=0))
    assert (result.height, result.width) == (60, 80)
    assert np.abs(result.pixels[4:-4, 4:-4, :2].astype(int) - photograph[4:-4, 4:-4, :2]).max() <= 12


@pytest.mark.parametrize(("mode", "form"), [
    ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG"),
    ("RGBA", "WEBP"), ("L", "PPM"), ("1", "PPM"), ("P", "BMP"),
])
def test_every_colour_mode_becomes_eight_bit_rgb(photograph, mode, form):
    result = decode_image(encoded(Image.fromarray(photograph).convert(mode), form))
    assert result.pixels.shape == (60, 80, 3) and result.pixels.dtype == np.uint8
    if mode in ("L", "LA"):
        assert (result.pixels[..., 0] == result.pixels[..., 2]).all() or form == "JPEG"


def test_transparent_pixels_are_laid_over_white(photograph):
    clear = np.dstack([photograph, np.zeros((60, 80), np.uint8)])
    assert (decode_image(encoded(Image.fromarray(clear))).pixels == 255).all()
    half = np.dstack([np.zeros_like(photograph), np.full((60, 80), 128, np.uint8)])
    assert abs(int(decode_image(encoded(Image.fromarray(half))).pixels[0, 0, 0]) - 127) <= 1


def test_sixteen_bit_grey_is_divided_by_257_in_png_and_pgm():
    values = (np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) * 16).astype(np.uint16)
    pgm = b"P5 64 64 65535\n" + values.astype(">u2").tobytes()
    for content in (encoded(Image.fromarray(values)), pgm):
        result = decode_image(content)
        np.testing.assert_array_equal(result.pixels[..., 1], np.rint(values / 257.0))


def test_a_float_image_is_taken_as_zero_to_one_and_nan_is_refused():
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    header = b"Pf\n64 64\n-1.0\n"
    result = decode_image(header + values[::-1].astype("<f4").tobytes())
    np.testing.assert_array_equal(result.pixels[..., 0], np.rint(values * 255))
    values[3, 3] = np.nan
    assert "not finite" in reason(header + values.tobytes())


def test_all_eight_exif_orientations_come_upright(photograph):
    upright = Image.fromarray(photograph)
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}
    for orientation in range(1, 9):
        stored = upright.transpose(undo[orientation]) if orientation in undo else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        np.testing.assert_array_equal(decode_image(encoded(stored, "PNG", exif=exif)).pixels, photograph)


def test_only_the_first_frame_of_an_animation_counts(photograph):
    second = Image.fromarray(255 - photograph)
    moving = encoded(Image.fromarray(photograph), "WEBP", save_all=True, append_images=[second], lossless=True)
    np.testing.assert_array_equal(decode_image(moving).pixels, photograph)


def test_formats_off_the_list_are_refused_by_content_whatever_their_name(photograph, tmp_path):
    for form in ("TIFF", "GIF", "ICO"):
        (tmp_path / f"{form}.png").write_bytes(encoded(Image.fromarray(photograph), form))
        assert "not an image of an allowed format" in reason(tmp_path / f"{form}.png")
    assert "not an image" in reason(b"<html>404</html>" * 20)


def test_a_bomb_of_a_few_kilobytes_is_refused_by_its_header():
    raw = zlib.compress(b"\0" * (20000 * 2 + 1) * 4, 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", raw)
    assert "more than 50000000 pixels" in reason(bomb)
    assert "more than 4000 pixels (80 x 60)" in reason(encoded(Image.new("RGB", (80, 60))), max_pixels=4000)


def test_caps_on_bytes_and_sides_are_settable(photograph):
    content = encoded(Image.fromarray(photograph), "BMP")
    assert reason(content, max_bytes=1000) == "file is larger than 1000 bytes"
    assert reason(content, min_side=61) == "smaller than 61 pixels on a side (80 x 60)"
    assert reason(encoded(Image.new("L", (31, 200)))) == "smaller than 32 pixels on a side (31 x 200)"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "PPM"])
def test_a_file_cut_in_half_is_refused_not_filled_with_grey(form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    content = encoded(noise, form)
    assert "damaged or truncated" in reason(content[: len(content) // 2])


def test_links_folders_pipes_absent_and_empty_files_have_their_reasons(photograph, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(photograph)))
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "link.png") == "symbolic link, not followed"
    assert reason(tmp_path / "empty.png") == "empty file"
    assert reason(tmp_path / "pipe.png") == "not a regular file"
    assert reason(tmp_path) == "not a regular file"
    assert reason(tmp_path / "none.png") == "file not found"
    assert reason(b"") == "empty file"
    assert "cannot be read" in reason("nul\0byte.png")


def test_names_with_spaces_and_umlauts_are_read(photograph, tmp_path):
    file = tmp_path / "Käthe & 李 #1.PNG"
    file.write_bytes(encoded(Image.fromarray(photograph)))
    np.testing.assert_array_equal(decode_image(file).pixels, photograph)
    assert find_images(tmp_path)[1] == [file]


def test_arrays_pass_in_three_shapes_and_floats_do_not(photograph):
    grey = photograph[..., 0]
    np.testing.assert_array_equal(decode_image(photograph).pixels, photograph)
    np.testing.assert_array_equal(decode_image(grey).pixels, np.dstack([grey] * 3))
    opaque = np.dstack([photograph, np.full((60, 80), 255, np.uint8)])
    np.testing.assert_array_equal(decode_image(opaque).pixels, photograph)
    assert "must be uint8" in reason(photograph.astype(float))


def test_a_folder_lists_images_at_any_depth_sorted_and_passes_over_hidden_and_other_files(tmp_path):
    for name in ("b/2.jpg", "b/c/1.PGM", "a.webp", ".hidden.png", ".git/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    root, files = find_images(tmp_path)
    assert [f.relative_to(root).as_posix() for f in files] == ["a.webp", "b/2.jpg", "b/c/1.PGM"]
    with pytest.raises(InputError, match="there is no file or folder at"):
        find_images(tmp_path / "nowhere")


def test_a_portrait_of_92_by_112_pixels_is_large_enough(portraits):
    assert decode_image(portraits[0]).pixels.shape == (112, 92, 3)


_SEEDS = [encoded(Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)), form)
          for form in ("JPEG", "PNG", "WEBP", "BMP", "PPM")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=30),
       st.floats(0.05, 1.0))
def test_150_mutated_files_give_an_image_or_a_reason(content, changes, kept):
    damaged = bytearray(content[: max(1, int(len(content) * kept))])
    for place, value in changes:
        damaged[place % len(damaged)] = value
    result = decode_image(bytes(damaged))
    if isinstance(result, DecodedImage):
        assert result.pixels.dtype == np.uint8 and result.pixels.ndim == 3 and min(result.pixels.shape[:2]) >= 32
    else:
        assert result.reason


def test_no_decoder_but_the_five_is_ever_asked(monkeypatch, photograph, tmp_path):
    asked: list[object] = []
    original = Image.open

    def spy(*args, **options):
        asked.append(options.get("formats"))
        return original(*args, **options)

    monkeypatch.setattr(Image, "open", spy)
    decode_image(encoded(Image.fromarray(photograph)))
    assert asked == [("JPEG", "PNG", "WEBP", "BMP", "PPM")]
