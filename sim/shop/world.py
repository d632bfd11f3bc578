"""The shop: catalog, customer model, gallery and camera put together, before any customer steps up."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from sim.shop import camera, random_streams
from sim.shop.catalog import Catalog
from sim.shop.fading import fading_table
from sim.shop.gallery import Gallery
from sim.shop.lives import LiveCustomers
from sim.shop.observation import check_observation, observation_size
from sim.shop.parameters import VARIANTS, ShopError
from sim.shop.till import record_size
from sim.shop.types import CELL, PICTURE, SHOWN, World
from sim.shop.variants import layout_of


@dataclasses.dataclass(frozen=True)
class Shop:
    """A complete, immutable shop; customers are drawn from it by `customers`.

    `params` is the packed record of all parameters (see `parameters.pack`); `typical_seed` seeds the table of typical
    records that a mistaken identity shows; `strict_mask` makes a masked action an error instead of a hold-back;
    `slate_size` S > 1 lets several labels be pushed at once (`sim.shop.slate`).
    """

    catalog: Catalog
    gallery: Gallery
    params: np.ndarray
    typical_seed: int = 0
    strict_mask: bool = False
    name: str = "shop"
    typical: np.ndarray | None = None
    slate_size: int = 1

    @property
    def labels(self) -> int:
        """K, the number of labels."""
        return len(self.catalog.names)

    @property
    def layout(self) -> dict[str, tuple[int, int]]:
        """Named slices (start, stop) of the observation."""
        return layout_of({name: self.params[name][0] for name in VARIANTS}, self.labels)

    @property
    def observation_size(self) -> int:
        return observation_size(self.labels)

    @property
    def single(self) -> Shop:
        """The same shop with one label per push."""
        return dataclasses.replace(self, slate_size=1)

    def world(self, split: str) -> World:
        """Arrays of this shop for the customers of a split ("train", "tune", "typical": training faces; "evaluate")."""
        cells = self.gallery.evaluate if split == "evaluate" else self.gallery.train
        g = self.gallery
        typical = np.zeros((1, record_size(self.labels)), np.float32) if self.typical is None else self.typical
        features = np.ascontiguousarray(self.catalog.features)
        similarity = (features @ features.T).astype(np.float32)
        pictures = np.zeros(len(g.images), PICTURE)
        for name in ("emotion", "mask_probability", "has_face", "true_emotion", "true_mask"):
            pictures[name] = getattr(g, name)
        pictures["recognised"], pictures["similarity"] = g.recognised.T, g.similarity.T
        for j in range(7):
            pictures["valence"] += pictures["emotion"][:, j] * camera.CENTRES[j, 0]
        table, shown = np.zeros(cells.start.shape, CELL), np.zeros(len(cells.image), SHOWN)
        table["start"], table["size"], shown["image"], shown["cumulative"] = cells.start, cells.size, cells.image, cells.cumulative
        if self.params["organic"][0] > 0 and self.catalog.lengths is not None:  # there a label's taste vector counts with its length
            features = features * self.catalog.lengths[:, None]
        return World(
            params=self.params,
            catalog=self.catalog.table,
            label_features=features,
            feature_columns=np.ascontiguousarray(np.pad(features.T, ((0, 0), (0, -len(features) % 8)))),
            label_similarity=similarity,
            pictures=pictures,
            persons=cells.persons,
            masked_images=cells.masked_images,
            cells=table,
            shown=shown,
            typical=np.pad(typical, ((0, 1), (0, 0))),
            fading=fading_table(self.params),
        )

    def customers(
        self,
        number: int,
        seed: int,
        split: str = "train",
        *,
        first: int = 0,
        autoreset: bool = False,
        keep_events: bool = True,
    ) -> LiveCustomers:
        """`number` customers of a split, with ids first, first + 1, ...; see `LiveCustomers`."""
        return LiveCustomers(self, number, seed, split, first=first, autoreset=autoreset, keep_events=keep_events)

    def with_params(self, **changes: float) -> Shop:
        """The same shop with some parameters changed (for tests and experiments)."""
        params = self.params.copy()
        for name, number in changes.items():
            if name not in (params.dtype.names or ()) or not np.isfinite(number):
                raise ShopError(f"with_params({name}={number}): give a parameter of the shop a finite number")
            params[name] = number
        return with_typical_records(dataclasses.replace(self, params=params))

    @property
    def digest(self) -> str:
        """Digest of everything that decides what happens in this shop, the table of typical records included."""
        parts = hashlib.sha256(self.catalog.digest.encode() + self.gallery.digest.encode() + self.params.tobytes())
        if self.typical is not None:
            parts.update(self.typical.tobytes())
        if self.slate_size > 1:
            parts.update(f"slates of {self.slate_size}".encode())
        return parts.hexdigest()[:16]


def with_typical_records(shop: Shop) -> Shop:
    """Roll the random policy out once, with known identity, and freeze one record per customer at a random moment.

    Single pushes, whatever the size of slates: strangers' records are the same in both.
    """
    rows = int(shop.params["typical_records"][0])
    params = shop.params.copy()
    params["identity_channel"] = camera.ORACLE
    lives = dataclasses.replace(shop.single, params=params, typical=None).customers(rows, shop.typical_seed, "typical")
    rng = np.random.default_rng([shop.typical_seed, random_streams.TYPICAL])
    moment = rng.integers(1, 25, rows)  # opportunity at which the record is frozen, or the end of that life
    table = lives.state.record.copy()
    for t in range(1, 25):
        uniform = rng.random(rows)
        allowed = lives.action_masks()
        action = np.minimum((uniform * allowed.sum(1)).astype(np.int64), allowed.sum(1) - 1)
        lives.step(np.argsort(~allowed, axis=1, kind="stable")[np.arange(rows), action])
        due = (moment >= t) & ~lives.done
        table[due] = lives.state.record[due]
        check_observation(lives.observation, shop.layout)  # before anybody trains on nonsense
    return dataclasses.replace(shop, typical=np.ascontiguousarray(table))
