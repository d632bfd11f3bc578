"""Train the mask head on a folder of photographs with ``with_mask/`` and ``without_mask/``.

Every photograph goes through the pipeline's own decoding, detection and FaceNet crop (largest face); photographs in
which no face is found are failures to acquire: counted and reported, neither learned from nor scored.  Duplicates by
content go, the rest is split by file, 70 to 30 with a seed; the head shipped is the one fitted on the 70, so the number
beside it is its own.  Training faces are seen a second and third time as a small grey picture and as a dim, blurred one
(held-out faces only as they are), so that the head also reads small, grey and smooth faces.

The held-out photographs are listed in a manifest beside the head (``<out>.held_out.csv``), so that ``python -m
perception.evaluate manifest=`` scores a head on what it never saw.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.command import Setting, run
from perception.errors import InputError

if TYPE_CHECKING:
    from perception.detection import FaceDetector

PURPOSE = "Train the mask head on DIR/with_mask and DIR/without_mask, and print how well it does on held-out photographs."
EXAMPLE = "python -m perception.train_mask images=photos out=perception/heads/mask_head.json"
SETTINGS = (
    Setting("images", str, "folder that holds with_mask/ and without_mask/", required=True),
    Setting("out", str, "head to write (JSON)", required=True),
    Setting("weights", str, "FaceNet weights (see perception.weights for where they are looked for)"),
    Setting("seed", int, "of the split and the augmentation", 0, minimum=0),
    Setting("held_out", float, "share of the photographs held out", 0.3, minimum=0.05),
    Setting("held_out_list", str, "manifest of the held-out photographs to write (default: beside out=)"),
    Setting("penalty", float, "L2 penalty on the standardised coefficients", 100.0, minimum=0.0),
    Setting("augment", bool, "show training faces small and grey, and dim and blurred, too", True),
    Setting("name", str, "name of the training set, for the provenance (default: the folder's name)"),
)
CLASSES = (("with_mask", True), ("without_mask", False))


def collect(folder: Path) -> tuple[list[Path], np.ndarray, int]:
    """List photographs once per content.

    Returns
    -------
    files : list of Path
    masked : ndarray, shape (n,), bool
    duplicates : int
        Photographs left out as copies (a content found in both classes is left out of both).

    Raises
    ------
    InputError
        If a class folder is missing or empty.
    """
    from perception.image_io import find_images

    seen: dict[str, tuple[Path, bool]] = {}
    conflicting: set[str] = set()
    total = 0
    for name, masked in CLASSES:
        if not (folder / name).is_dir():
            raise InputError(f"there is no folder {folder / name}; images= needs with_mask/ and without_mask/ inside")
        _, files = find_images(folder / name)
        if not files:
            raise InputError(f"there are no images in {folder / name}")
        total += len(files)
        for file in files:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest in seen and seen[digest][1] != masked:
                conflicting.add(digest)
            seen.setdefault(digest, (file, masked))
    kept = [pair for digest, pair in seen.items() if digest not in conflicting]
    return [file for file, _ in kept], np.array([masked for _, masked in kept], dtype=bool), total - len(kept)


def acquire(files: Sequence[Path], detector: FaceDetector, progress: bool = True) -> list[np.ndarray | None]:
    """FaceNet crop of the largest face of every photograph, shape (160, 160, 3), or None where none is found."""
    from tqdm import tqdm

    from perception.identity import face_crop
    from perception.image_io import DecodedImage, decode_image

    crops: list[np.ndarray | None] = []
    for file in tqdm(files, desc="faces", unit="img", disable=not progress):
        decoded = decode_image(file)
        faces = detector.detect([decoded.pixels])[0] if isinstance(decoded, DecodedImage) else ()
        crops.append(face_crop(decoded.pixels, faces.boxes[0]) if len(faces) else None)  # type: ignore[union-attr]
    return crops


def augmented(crop: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """A small grey version (48-90 px) and a dim or bright, blurred one of a crop, each mirrored half the time."""
    from PIL import Image, ImageEnhance, ImageFilter

    image = Image.fromarray(crop)
    side = int(generator.integers(48, 91))
    small = image.convert("L").resize((side, side), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)
    soft = image.filter(ImageFilter.GaussianBlur(float(generator.uniform(0.5, 2.0))))
    soft = ImageEnhance.Brightness(soft).enhance(float(generator.uniform(0.6, 1.4)))
    versions = [np.asarray(small.convert("RGB")), np.asarray(soft)]
    return [np.ascontiguousarray(v[:, ::-1]) if generator.random() < 0.5 else v for v in versions]


def train(images: str, out: str, weights: str | None = None, seed: int = 0, held_out: float = 0.3,
          penalty: float = 100.0, augment: bool = True, name: str | None = None, held_out_list: str | None = None) -> int:
    """Body of the command; see the module's docstring."""
    from perception.mask import balanced_accuracy, fit_head
    from perception.weights import find_weights

    if held_out >= 1.0:
        raise InputError(f"held_out= must be below 1, not {held_out:g}")
    files, masked, duplicates = collect(Path(images))
    file = find_weights(weights)

    from perception.detection import FaceDetector
    from perception.identity import FaceEmbedder

    print(f"{len(files)} different photographs, {duplicates} copies left out", file=sys.stderr)
    generator = np.random.default_rng(seed)
    testing = generator.permutation(len(files)) < round(held_out * len(files))
    crops = acquire(files, FaceDetector())
    faces = {i: crop for i, crop in enumerate(crops) if crop is not None}
    found = np.array([crop is not None for crop in crops])
    embedder = FaceEmbedder(file)

    def pooled(part: list[np.ndarray]) -> np.ndarray:
        from tqdm import tqdm

        steps = tqdm(range(0, len(part), 32), desc="FaceNet", unit="batch")
        return np.concatenate([embedder.embed(np.stack(part[i:i + 32]))[1] for i in steps])

    learn_rows, test_rows = np.flatnonzero(found & ~testing), np.flatnonzero(found & testing)
    learn_crops: list[np.ndarray] = []
    learn_masked: list[bool] = []
    for i in learn_rows:
        versions = [faces[int(i)], *(augmented(faces[int(i)], generator) if augment else [])]
        learn_crops += versions
        learn_masked += [bool(masked[i])] * len(versions)
    for rows, what in ((learn_rows, "training"), (test_rows, "held-out")):
        if masked[rows].all() or not masked[rows].any():
            raise InputError(f"the {what} part has faces of one class only; give more photographs or another seed=")
    head = fit_head(pooled(learn_crops), np.array(learn_masked), penalty)
    quality = balanced_accuracy(head.probability(pooled([faces[int(i)] for i in test_rows])), masked[test_rows])
    provenance: dict[str, Any] = {
        "training_set": name or Path(images).resolve().name,
        "seed": seed, "held_out_share": held_out, "penalty": penalty, "augmented": augment,
        "duplicates_left_out": duplicates,
        "faces_trained": {label: int((masked[learn_rows] == flag).sum()) for label, flag in CLASSES},
        "faces_held_out": {label: int((masked[test_rows] == flag).sum()) for label, flag in CLASSES},
        "failures_to_acquire": {label: int((~found & (masked == flag)).sum()) for label, flag in CLASSES},
        "features": "mixed_6a, spatial mean, 896", "balanced_accuracy_held_out": {k: round(v, 4) for k, v in quality.items()},
    }
    type(head)(head.mean, head.scale, head.coefficients, head.intercept, provenance).save(out)
    listed = Path(held_out_list) if held_out_list else Path(out).with_suffix(".held_out.csv")
    write_manifest(listed, [files[i] for i in np.flatnonzero(testing)], masked[testing])
    lost = provenance["failures_to_acquire"]
    print(f"held out: balanced accuracy {quality['mean']:.4f} [{quality['low']:.4f}, {quality['high']:.4f}] "
          f"(with mask {quality['recall_masked']:.4f}, without {quality['recall_plain']:.4f}, n = {quality['n']:.0f})")
    print(f"no face found in {lost['with_mask']} photographs with and {lost['without_mask']} without mask (not scored)")
    print(f"written: {out}, and the held-out photographs to {listed}")
    return 0


def write_manifest(path: Path, files: Sequence[Path], masked: np.ndarray) -> None:
    """Publish a manifest (:mod:`perception.evaluation.manifest`) of photographs, their paths relative to its folder.

    Raises
    ------
    CacheError
        If the folder cannot be written.
    """
    import csv
    import io
    import os

    from perception.publish import publish

    text = io.StringIO()
    rows = [(Path(os.path.relpath(file, path.parent)).as_posix(), str(bool(m)).lower()) for file, m in zip(files, masked, strict=True)]
    csv.writer(text, lineterminator="\n").writerows([("path", "mask"), *sorted(rows)])
    publish(path, text.getvalue().encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.train_mask", PURPOSE, SETTINGS, EXAMPLE, train, arguments)


if __name__ == "__main__":
    sys.exit(main())
