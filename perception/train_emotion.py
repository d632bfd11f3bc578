"""Train the combined emotion head on a folder of labelled photographs.

Every photograph goes through the pipeline's own decoding, detection and crops (largest face); faces are seen as they are,
mirrored, and in random worse conditions (:mod:`perception.training_faces`); for the masked half of the head they get drawn
masks (:mod:`perception.drawn_mask`) and rendered masked faces of other painter seeds than the shipped ones join in with a
small weight.  Everything is scored by cross-validation over persons (:mod:`perception.emotion_training`): what is printed
is about people whom no part of the scored head has seen.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.command import Setting, run
from perception.errors import InputError
from perception.features import EMOTIONS

if TYPE_CHECKING:
    from perception.emotion import EmotionModel
    from perception.emotion_training import Examples
    from perception.identity import FaceEmbedder
    from perception.training_faces import TrainingFace

PURPOSE = "Train the combined emotion head on labelled photographs, and print how well it reads people it never saw."
EXAMPLE = "python -m perception.train_emotion manifest=manifest.csv set=muxspace out=perception/heads/emotion_head.safetensors"
SETTINGS = (
    Setting("manifest", str, "CSV with the columns path (relative to it) and label, and optionally set and person", required=True),
    Setting("out", str, "head to write (safetensors)", required=True),
    Setting("set", str, "only rows with this value in the column set"),
    Setting("weights", str, "FaceNet weights (see perception.weights for where they are looked for)"),
    Setting("seed", int, "of folds, versions and masks", 0, minimum=0),
    Setting("varied", int, "versions in worse conditions of every face", 2, minimum=0),
    Setting("rendered", int, "rendered persons of other painter seeds than the shipped ones (0: none)", 40, minimum=0),
    Setting("rendered_weight", float, "weight of a rendered bare face beside a photograph", 0.0, minimum=0.0),
    Setting("rendered_weight_masked", float, "weight of a rendered masked face beside a photograph", 0.03, minimum=0.0),
    Setting("shrinkage", float, "of the covariance towards the sphere", 10.0, minimum=1e-6),
    Setting("fer_share", float, "share of fer's own verdict on bare faces", 0.25, minimum=0.0),
)
LABELS = {"anger": "angry", "happiness": "happy", "sadness": "sad", "surprised": "surprise", "natural": "neutral"}
"""Other words for the seven classes; rows with a label that is none of either (contempt) are left out and counted."""
RENDERED_SEED = 12_000
"""First painter seed of the rendered training faces: in the block that is never shipped."""


def read_manifest(file: Path, only: str | None) -> tuple[list[Path], np.ndarray, np.ndarray, int]:
    """Photographs, classes (n,), persons (n,), and how many rows have a label of no class.

    The person is the column ``person`` where there is one, else the file's name without its number, in small letters.

    Raises
    ------
    InputError
        If the manifest cannot be read, lacks a column, or leaves nothing.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.DictReader(stream) if only is None or row.get("set") == only]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the manifest {file} cannot be read as a UTF-8 table ({error})") from error
    if not rows:
        raise InputError(f"the manifest {file} has no row" + (f" with set {only!r}" if only else ""))
    if missing := [name for name in ("path", "label") if name not in rows[0]]:
        raise InputError(f"the manifest {file} lacks the column {' and '.join(missing)}")
    labels = [LABELS.get(str(row["label"]), str(row["label"])) for row in rows]
    kept = [(row, EMOTIONS.index(label)) for row, label in zip(rows, labels, strict=True) if label in EMOTIONS]
    if not kept:
        raise InputError(f"no row of {file} has one of the labels {', '.join(EMOTIONS)}")
    files = [file.parent / row["path"] for row, _ in kept]
    persons = [row.get("person") or person_of(path.stem) for (row, _), path in zip(kept, files, strict=True)]
    return files, np.array([label for _, label in kept]), np.array(persons), len(rows) - len(kept)


def person_of(name: str) -> str:
    """``Ann_Lee_0003`` -> ``annlee``."""
    return re.sub(r"[\W\d_]", "", re.sub(r"[_\- ]*\d+\D*$", "", name.lower()))


def measure(faces: Sequence[TrainingFace], fer: EmotionModel, embedder: FaceEmbedder) -> tuple[np.ndarray, np.ndarray]:
    """Head inputs (n, 1031) and embeddings (n, 512) of faces."""
    from perception.emotion_head import head_input
    from perception.training_faces import crops

    inputs, embeddings = [], []
    for start in range(0, len(faces), 32):
        rgb, grey = crops(faces[start:start + 32])
        embedding, pooled = embedder.embed(rgb)
        inputs.append(head_input(*fer.read(grey), pooled))
        embeddings.append(embedding)
    return np.concatenate(inputs), np.concatenate(embeddings)


def train(manifest: str, out: str, set: str | None, weights: str | None, seed: int, varied: int,
          rendered: int, rendered_weight: float, rendered_weight_masked: float, shrinkage: float, fer_share: float) -> int:
    """Body of the command; see the module's docstring."""
    from perception.weights import find_weights

    files, emotion, person, strange = read_manifest(Path(manifest), set)
    weights_file = find_weights(weights)

    from tqdm import tqdm

    from perception.detection import FaceDetector
    from perception.drawn_mask import wear_mask
    from perception.emotion import EmotionModel
    from perception.emotion_head import EmotionHead
    from perception.emotion_training import FEWEST, Examples, fit, person_groups, score
    from perception.identity import FaceEmbedder
    from perception.training_faces import acquire, mirror, vary

    detector, fer, embedder = FaceDetector(), EmotionModel(), FaceEmbedder(weights_file)
    found = acquire(files, detector)
    kept = np.array([face is not None for face in found])
    faces = [face for face in found if face is not None]
    emotion, person = emotion[kept], person[kept]
    if missing := [name for c, name in enumerate(EMOTIONS) if not (emotion == c).any()]:
        raise InputError(f"the head needs photographs of every emotion; there is no face with {', '.join(missing)}")

    if (np.bincount(emotion) >= FEWEST).sum() < 2:
        raise InputError(f"the head cannot be scored: fewer than two emotions have {FEWEST} faces or more")

    def version(i: int, number: int) -> np.random.Generator:
        return np.random.default_rng([seed, i, number])

    def shown(number: int) -> list[TrainingFace]:  # one version at a time: together they would fill the memory
        if number == 0:
            return faces
        if number == 1:
            return [mirror(face) for face in faces]
        if number < 2 + varied:
            return [vary(face, version(i, number)) for i, face in enumerate(faces)]
        return [wear_mask(face, version(i, number)) for i, face in enumerate(faces)]

    measured = [measure(shown(k), fer, embedder) for k in tqdm(range(3 + varied), desc="activations", unit="version")]
    group = person_groups(person, measured[0][1])
    bare = Examples(np.stack([x for x, _ in measured[:-1]]), emotion, group)
    hidden = Examples(np.stack([x for x, _ in measured[-1:]]), emotion, group)
    drawn = _rendered(rendered, detector, fer, embedder) if rendered else (None, None)

    provenance: dict[str, Any] = {
        "training_set": set or Path(manifest).resolve().parent.name, "faces": len(faces), "persons": len(np.unique(group)),
        "failures_to_acquire": int((~kept).sum()), "other_labels_left_out": strange, "seed": seed, "folds": 5,
        "versions_bare": 2 + varied, "versions_masked": 1, "shrinkage": shrinkage, "fer_share_bare": fer_share,
        "fer_share_masked": 0.0, "rendered_first": RENDERED_SEED, "rendered_persons": rendered,
        "rendered_weight_bare": rendered_weight, "rendered_weight_masked": rendered_weight_masked,
    }
    classifiers = {}
    for name, photographs, extra, weight, share in (("bare", bare, drawn[0], rendered_weight, fer_share),
                                                    ("masked", hidden, drawn[1], rendered_weight_masked, 0.0)):
        classifiers[name], held_out, about = fit(photographs, extra if weight > 0 else None, rendered_weight=weight,
                                                 fer_share=share, shrinkage=shrinkage, seed=seed)
        alone = np.exp(photographs.x[..., 128:135])
        provenance[name] = about | {"held_out": score(held_out[0], emotion, group), "fer": score(alone[0], emotion, group)}
        if len(held_out) > 2:
            provenance[name] |= {"varied": score(held_out[2], emotion, group), "fer_varied": score(alone[2], emotion, group)}
        for what in ("held_out", "fer"):
            quality = provenance[name][what]["balanced_accuracy"]
            print(f"{name}, {what}: balanced accuracy {quality['mean']:.3f} [{quality['low']:.3f}, {quality['high']:.3f}] "
                  f"(n = {quality['n']}, {quality['persons']} persons)")
            print("   " + json.dumps(provenance[name][what]["recall"]))
    EmotionHead(classifiers["bare"], classifiers["masked"], provenance).save(out)
    print(f"no face found in {int((~kept).sum())} photographs; {strange} have a label of no class")
    print(f"written: {out}")
    return 0


def _rendered(persons: int, detector: Any, fer: EmotionModel, embedder: FaceEmbedder) -> tuple[Examples, Examples]:
    """Rendered faces of the training seeds, bare and masked."""
    from perception.emotion_training import Examples
    from perception.personas.build import paint_picture
    from perception.personas.plan import plan_pictures
    from perception.training_faces import acquire

    pictures = plan_pictures(RENDERED_SEED, persons)
    found = acquire([paint_picture(picture) for picture in pictures], detector)
    seen = [i for i, face in enumerate(found) if face is not None]
    x, _ = measure([face for face in found if face is not None], fer, embedder)
    emotion = np.array([EMOTIONS.index(pictures[i].emotion) for i in seen])
    person = np.array([pictures[i].person for i in seen])
    masked = np.array([pictures[i].mask for i in seen], dtype=bool)
    return tuple(Examples(x[None, rows], emotion[rows], person[rows]) for rows in (~masked, masked))  # type: ignore[return-value]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.train_emotion", PURPOSE, SETTINGS, EXAMPLE, train, arguments)


if __name__ == "__main__":
    sys.exit(main())
