"""Who is to be forgotten, by everything that identifies the person in a file: name, photographs' digests, embeddings."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Subject:
    """A person.

    Attributes
    ----------
    name : str
        As the galleries call the person.
    digests : set of str
        SHA-256 of the photographs' files.
    embeddings : set of bytes
        512 little-endian float32 each.
    images : set of str
        Names, in feature tables, of pictures on which the person was seen, or taken for.
    notes : dict
        What the simulator found out about the person, JSON values (opaque names in session logs).
    """

    name: str
    digests: set[str] = field(default_factory=set)
    embeddings: set[bytes] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)

    def in_path(self, path: str) -> bool:
        """Whether a picture's path leads through a folder of the person's name."""
        return self.name in PurePosixPath(path).parts[:-1]

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Rows of a feature table that are about the person, (n,) bool: labelled, in the person's folder, with an embedding of
        the person's, or recognised as the person where nobody else is labelled."""
        named = (frame["person"] == self.name).to_numpy(bool) if "person" in frame else np.zeros(len(frame), bool)
        other = frame["person"].notna().to_numpy() & ~named if "person" in frame else np.zeros(len(frame), bool)
        found = named | ((frame["identity"] == self.name).to_numpy(bool) & ~other)
        found |= np.array([self.in_path(image) for image in frame["image"]], dtype=bool)
        if "embedding" in frame:
            found |= np.array([v is not None and v.astype("<f4").tobytes() in self.embeddings for v in frame["embedding"]], dtype=bool)
        return found | frame["image"].isin(frame["image"][named]).to_numpy(bool)  # other faces on the person's pictures

    def mentions(self, frame: pd.DataFrame) -> np.ndarray:
        """:meth:`rows`, and those of others who were taken for the person, (n,) bool."""
        found = self.rows(frame)
        for name in ("identity", "identity_unenrolled"):
            if name in frame:
                found = found | (frame[name] == self.name).to_numpy(bool)
        return found

    def learn(self, frame: pd.DataFrame) -> None:
        """Take over what a feature table knows of the person: the embeddings of the person's own faces, and the pictures."""
        own = self.rows(frame) & (frame["face"] == 0).to_numpy()
        self.embeddings |= {v.astype("<f4").tobytes() for v in frame["embedding"][own] if v is not None}
        self.images |= set(frame["image"][self.mentions(frame)])

    def pattern(self) -> re.Pattern[bytes]:
        """The name as a word of its own, plain or escaped as JSON escapes it."""
        forms = {self.name.encode(), json.dumps(self.name)[1:-1].encode()}
        return re.compile(rb"(?<![\w-])(?:" + b"|".join(map(re.escape, sorted(forms))) + rb")(?![\w-])")

    def to_json(self) -> str:
        """For the journal."""
        content = dataclasses.asdict(self) | {"digests": sorted(self.digests), "images": sorted(self.images)}
        return json.dumps(content | {"embeddings": [base64.b64encode(v).decode() for v in sorted(self.embeddings)]})

    @classmethod
    def from_json(cls, text: str) -> Subject:
        """What :meth:`to_json` gave."""
        content = json.loads(text)
        return cls(content["name"], set(content["digests"]), {base64.b64decode(v) for v in content["embeddings"]},
                   set(content["images"]), content["notes"])
