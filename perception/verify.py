"""Verify: do two photographs show the same person (1:1)?

The largest face of each is compared; a face that fails the quality gate (:mod:`perception.quality`) decides nothing.  A
masked face must reach a threshold raised by :data:`perception.recognition.MASK_OFFSET`.  Printed with the decision: the
score, and the false match and non-match rate of the threshold (:mod:`perception.operating_point`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perception.command import Setting, run
from perception.errors import InputError

if TYPE_CHECKING:
    from perception.image_io import DecodedImage
    from perception.pipeline import FacePipeline
    from perception.results import Face

PURPOSE = "Compare the largest faces of two photographs: the same person, or not, and how often that answer errs."
EXAMPLE = "python -m perception.verify a=till.jpg b=card.jpg"
SETTINGS = (
    Setting("a", str, "first photograph", required=True),
    Setting("b", str, "second photograph", required=True),
    Setting("threshold", float, "cosine from which two faces count as the same person (default: the one of fmr=)"),
    Setting("fmr", float, "false match rate asked for", 1e-3, minimum=1e-9),
    Setting("rates", str, "table of error rates (default: the shipped one; perception.evaluate ... rates=FILE writes one)"),
    Setting("quality", bool, "let no face decide that fails the quality gate", True),
    Setting("out", str, "file to write the decision to (JSON, without embeddings)"),
    Setting("weights", str, "FaceNet weights (see perception.weights for where they are looked for)"),
)


def verify(a: str, b: str, threshold: float | None, fmr: float, rates: str | None, quality: bool, out: str | None,
           weights: str | None) -> int:
    """Body of the command; see the module's docstring.

    Raises
    ------
    InputError
        No face, or a setting that cannot be used.
    WeightsError, CacheError
    """
    from perception.operating_point import NO_AUTHENTICATION, operating_point, read_rates
    from perception.weights import find_weights

    point = operating_point(threshold, fmr, read_rates(Path(rates) if rates else None))
    photographs = [(name, path, _decoded(name, path)) for name, path in (("a", a), ("b", b))]  # before weights are looked for
    file = find_weights(weights)

    from perception.pipeline import FacePipeline
    from perception.recognition import MASK_OFFSET

    pipeline = FacePipeline(file, precision="float32")
    (face_a, reasons_a), (face_b, reasons_b) = (_look(pipeline, *photograph) for photograph in photographs)
    score = float(face_a.embedding @ face_b.embedding)  # type: ignore[operator]  # the pipeline has FaceNet
    masked = face_a.masked or face_b.masked
    needed = point.threshold + (MASK_OFFSET if masked else 0.0)
    reasons = [*(f"a: {reason}" for reason in reasons_a), *(f"b: {reason}" for reason in reasons_b)]
    if reasons and quality:
        decision = "undecided"
        print("undecided: " + "; ".join(reasons))
        print(f"score {score:.3f} (not used; quality=false lets it decide)")
    else:
        decision = "same" if score >= needed else "different"
        words = "the same person" if decision == "same" else "not shown to be the same person"
        print(f"{words}: score {score:.3f} {'>=' if decision == 'same' else '<'} {needed:.3f}")
        print("".join(f"note: {reason}\n" for reason in reasons), end="")
    print(point.sentence())
    if masked:
        print(f"a face seems to wear a mask: its threshold is {MASK_OFFSET:.2f} higher, and the rates above are those of bare faces")
    print(NO_AUTHENTICATION)
    if out is not None:
        from perception.publish import publish_json

        publish_json(Path(out), {"decision": decision, "score": score, "threshold": needed, "masked": masked, "reasons": reasons,
                                 "fmr": point.fmr, "fnmr": point.fnmr, "rates_measured_on": point.source, "note": NO_AUTHENTICATION})
    return 0


def _decoded(name: str, path: str) -> DecodedImage:
    """The photograph of a setting, or one sentence why it cannot be used."""
    from perception.image_io import Unusable, decode_image

    decoded = decode_image(path)
    if isinstance(decoded, Unusable):
        raise InputError(f"{name}={path} cannot be used: {decoded.reason}")
    return decoded


def _look(pipeline: FacePipeline, name: str, path: str, decoded: DecodedImage) -> tuple[Face, tuple[str, ...]]:
    """Largest face of a photograph, and what speaks against it."""
    from perception.quality import assess

    result = pipeline.perceive([decoded.pixels])[0]
    if not result.faces:
        raise InputError(f"no face was found in {name}={path}")
    if len(result.faces) > 1:
        print(f"{name}: {len(result.faces)} faces, the largest is compared", file=sys.stderr)
    return result.faces[0], assess(decoded.pixels, result.faces[0]).reasons


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.verify", PURPOSE, SETTINGS, EXAMPLE, verify, arguments)


if __name__ == "__main__":
    sys.exit(main())
