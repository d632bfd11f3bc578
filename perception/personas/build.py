"""Build a gallery of personas: ``python -m perception.personas.build out=DIR``.

Fills a folder with images/<person>/<name>.webp, labels.csv (the truth) and, with features=true, features.parquet, the
gallery feature table computed by the full pipeline.  The same settings give the same pixels on one machine; an
interrupted build leaves only whole files, and labels.csv comes after the last picture.
"""
from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from perception.command import Setting, run
from perception.publish import publish

from .painter import MIN_SIZE, SIZE, render
from .plan import FIRST_SEED, PERSONS, Picture, plan_pictures
from .shot import take_shot
from .traits import persona

QUALITY = 86
LABELS = "labels.csv"
FEATURES = "features.parquet"
LABEL_COLUMNS = ("image", "person", "emotion", "mask", "role")

SETTINGS = (
    Setting("out", str, "folder to fill", required=True),
    Setting("first", int, "painter seed of p00; a multiple of 40 keeps a block's design whole", FIRST_SEED, minimum=0),
    Setting("persons", int, "how many persons", PERSONS, minimum=1),
    Setting("size", int, "side of a picture in pixels", SIZE, minimum=MIN_SIZE),
    Setting("quality", int, "quality of the WEBP files, 1-100", QUALITY, minimum=1),
    Setting("paint", bool, "false keeps the pictures that are there", True),
    Setting("features", bool, "perceive the pictures and write the feature table (needs FaceNet weights)", False),
    Setting("weights", str, "FaceNet weights file"),
)


def paint_picture(picture: Picture, size: int = SIZE, quality: int = QUALITY) -> bytes:
    """One planned picture as WEBP bytes."""
    shot = take_shot(picture.shot_seed, yaw=picture.yaw, vigour=picture.vigour)
    pixels = render(persona(picture.seed), picture.emotion, shot, size, picture.mask_kind)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="WEBP", quality=quality, method=6)
    return file.getvalue()


def labels_csv(pictures: Sequence[Picture]) -> bytes:
    """The truth of all pictures as a UTF-8 table."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(LABEL_COLUMNS)
    writer.writerows((p.image, p.person, p.emotion, str(p.mask).lower(), p.role) for p in pictures)
    return file.getvalue().encode()


def paint_gallery(out: Path, pictures: Sequence[Picture], size: int = SIZE, quality: int = QUALITY) -> int:
    """Paint all pictures into `out`, write labels.csv last, and return the total of bytes.

    Raises
    ------
    CacheError
        The folder cannot be written.
    """
    from tqdm import tqdm

    total = 0
    for picture in tqdm(pictures, desc="painting", unit="picture", disable=None):
        content = paint_picture(picture, size, quality)
        publish(out / picture.image, content)
        total += len(content)
    labels = labels_csv(pictures)
    publish(out / LABELS, labels)
    return total + len(labels)


def build(out: str, first: int, persons: int, size: int, quality: int, paint: bool, features: bool, weights: str | None) -> None:
    """Paint a gallery and, if asked, its feature table."""
    folder = Path(out)
    if paint:
        pictures = plan_pictures(first, persons)
        total = paint_gallery(folder, pictures, size, min(quality, 100))
        print(f"painted {len(pictures)} pictures of {persons} persons into {folder} ({total / 1e6:.1f} MB)")
    if features:
        from perception.features import write_features
        from perception.gallery import perceive_gallery
        from perception.labels import gallery_labels
        from perception.pipeline import FacePipeline

        # rendered faces are nobody's: their embeddings may be kept, in plain
        table = perceive_gallery(folder, gallery_labels(folder), FacePipeline(weights, precision="float32"), keep_embeddings=True,
                                 leave_out_persons=False, progress=True)
        write_features(table, folder / FEATURES, encrypt=False)
        print(f"wrote {folder / FEATURES}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run("perception.personas.build", "Paint a gallery of rendered customers.", SETTINGS,
               "python -m perception.personas.build out=gallery persons=10", build, arguments)


if __name__ == "__main__":
    sys.exit(main())
