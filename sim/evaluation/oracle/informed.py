"""The informed oracle: the priced oracle's rule on the posterior that the record allows, instead of on the true state.

    a = argmax_a  E[score(a) | what is known] + b sd[score(a) | what is known] L / H

score is that of `priced`, L / H the share of the horizon left, and b a bonus for what a push teaches (optimism; 0 = none).
It knows the true model and computes like nobody's agent, but sees only what could be seen:

    at a visit where the camera recognises the customer   everything that ever happened to this customer (`posterior`), at
                                                          missed visits too, and the day of the life: more than the till's
                                                          record holds
    at any other visit                                    the picture alone: the posterior over whom such a visit could be,
                                                          from a pool of lives under this same policy at such visits

so what it earns is about what hidden state leaves to be earned through this camera: an estimate of the reachable, where the
oracles that know the true state are not reachable. It is no strict bound: its rule is the best known one, not the optimum.

Measured on the default shop with 512 particles: 18.2 +- 1.6 under the oracle camera and 15.5 +- 1.5 under the perceived one (500
evaluation customers), where the priced oracle earns 28.0; told taste alone 25.4 +- 3.8 (125 customers). Fewer particles earn
less, 18.0 with 128 where 512 earn 18.5 (512 tuning customers), so a little more may be there. Prices half or double, and bonuses
of .3 and .6, earn no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.evaluation.oracle.base import StateOracle
from sim.evaluation.oracle.posterior import Cloud, check_filtered, expression_likelihood, follow, look, prior, resample
from sim.evaluation.oracle.priced import PricedOracle
from sim.evaluation.oracle.response import best_allowed, respond
from sim.shop.camera import ORACLE
from sim.shop.lives import LiveCustomers
from sim.shop.parameters import ShopError
from sim.shop.random_streams import MAX_SEED
from sim.shop.types import LABEL, SELF
from sim.shop.world import Shop

REVEALED = {
    "taste": ("relevance",),
    "affect": ("home_valence", "valence", "arousal", "mood", "expectation", "fatigue"),
    "purse": ("price_sensitivity", "monthly_budget", "budget"),
}
POOL, POOL_CUSTOMERS, POOL_SEED = 1024, 256, MAX_SEED - 2


class InformedOracle(StateOracle):
    """Acts on the exact posterior; about a millisecond a decision with 256 particles.

    Parameters
    ----------
    shop : whose camera, model and prior it knows.
    particles : N per customer.
    base : supplies the rule, its prices tuned for acting under uncertainty.
    bonus : b.
    revealed : of "taste", "affect" and "purse": parts of the hidden state that it is told besides, for who is recognised; all
        three make it the base oracle.
    seed : of imagined customers and noise; it must differ from the customers' own.
    pool_rounds : times that the pool of strangers is drawn, each time under the policy that the last one led to.

    Raises
    ------
    ShopError
        The shop has mechanics that the particles do not follow, or no labelled gallery.
    """

    name = "informed_oracle"

    def __init__(
        self,
        shop: Shop,
        particles: int = 256,
        base: PricedOracle | None = None,
        *,
        bonus: float = 0.0,
        revealed: Sequence[str] = (),
        seed: int = MAX_SEED - 1,
        pool_rounds: int = 2,
    ):
        check_filtered(shop)
        if particles < 2:
            raise ShopError(f"particles is {particles}; an informed oracle needs at least 2")
        if unknown := sorted(set(revealed) - set(REVEALED)):
            raise ShopError(f"revealed names {', '.join(unknown)}; known are {', '.join(REVEALED)}")
        self.revealed = tuple(revealed)
        self.shop, self.particles, self.base, self.bonus, self.seed = (
            shop,
            particles,
            base or PricedOracle(),
            bonus,
            seed,
        )
        self.likelihood = expression_likelihood(shop)
        self._lives: LiveCustomers | None = None
        self._keep: list[tuple[np.ndarray, np.ndarray]] | None = None
        self._pool: Cloud | None = None
        if shop.params["identity_channel"][0] != ORACLE:
            for number in range(pool_rounds):
                self._pool = self._strangers(number)

    def choose(self, lives: LiveCustomers, rows: np.ndarray) -> np.ndarray:
        if self.seed == lives.seed:
            raise ShopError(
                f"the informed oracle imagines with seed {self.seed}, the customers' own; give it another one"
            )
        self._update(lives, rows)
        customers, mask = lives.state.customers, lives.action_masks()[rows]
        known = customers["recognised"][rows] == SELF
        score = np.empty(mask.shape)
        own = np.flatnonzero(known)
        if len(own):
            score[own] = self._scores(lives, rows[own])
        strange = np.flatnonzero(~known)
        if len(strange):
            if self._keep is not None:
                self._keep.append((customers[rows[strange]].copy(), lives.state.labels[rows[strange]].copy()))
            score[strange] = self._stranger_scores(lives, rows[strange])
        return best_allowed(score, mask)

    # ------------------------------------------------------------------ the posterior
    def posterior(self, rows: np.ndarray) -> Cloud:
        """Particles of the customers in `rows` (n,) as of the last decision: whom this customer may be, and how likely."""
        return Cloud(*(array[rows] for array in self._cloud))

    def _update(self, lives: LiveCustomers, rows: np.ndarray) -> None:
        """Bring the particles of the customers in `rows` to the present; asked again about the same moment, do nothing."""
        customers = lives.state.customers
        now = customers["opportunity"][rows]
        if self._lives is not lives or (now == 0).all():
            self._lives, self._rng = lives, np.random.default_rng([self.seed, int(lives.ids[0])])
            self._cloud = prior(lives, np.arange(lives.number), self.particles, self.seed)
            self._seen = np.full(lives.number, -1)
        stepped = rows[now > self._seen[rows]]
        if not (customers["opportunity"][stepped] == self._seen[stepped] + 1).all():
            raise ShopError("the informed oracle must be asked at every opportunity of a life, from the first one on")
        self._seen[rows] = now
        moved = stepped[customers["opportunity"][stepped] > 0]
        if len(moved):
            follow(lives, self._cloud, moved, moved, self._rng)
        arrived = stepped[(customers["opportunity"][stepped] == 0) | (lives.state.events["gap"][stepped] > 0)]
        self._reveal(lives, stepped)
        if len(arrived):
            seen = self.likelihood[customers["image"][arrived]]
            self._cloud.log_weight[arrived] += look(lives.world, self._cloud.customers, arrived, seen)
        resample(self._cloud, stepped, self._rng)

    def _reveal(self, lives: LiveCustomers, rows: np.ndarray) -> None:
        """Give the particles of the customers in `rows` what `revealed` says that is known anyway."""
        assert LABEL.names is not None  # it has fields
        for group in self.revealed:
            for name in REVEALED[group]:
                if name in LABEL.names:
                    self._cloud.labels[name][rows] = lives.state.labels[name][rows][:, None]
                else:
                    self._cloud.customers[name][rows] = lives.state.customers[name][rows][:, None]

    def _scores(self, lives: LiveCustomers, rows: np.ndarray) -> np.ndarray:
        """Score (n, K + 1) of the customers in `rows` under their own posterior."""
        score = np.empty((len(rows), lives.shop.labels + 1))
        share = max(1, 65_536 // self.particles)
        for start in range(0, len(rows), share):
            part = Cloud(*(array[rows[start : start + share]] for array in self._cloud))
            score[start : start + share] = self._posterior_score(lives, part, part.weights())
        return score

    def _posterior_score(self, lives: LiveCustomers, cloud: Cloud, weights: np.ndarray) -> np.ndarray:
        state, number = cloud.lives(lives.state), np.arange(cloud.log_weight.size)
        each = self.base.score(lives.world, state, number, respond(lives.world, state, number))
        each = each.reshape(*cloud.log_weight.shape, -1)
        left = 1.0 - cloud.customers["day"] / lives.world.params[0]["horizon_days"]
        return self._optimistic(
            np.einsum("nm,nma->na", weights, each), np.einsum("nm,nma->na", weights, each**2), (weights * left).sum(1)
        )

    def _optimistic(self, mean: np.ndarray, square: np.ndarray, left: np.ndarray) -> np.ndarray:
        if self.bonus == 0.0:
            return mean
        return mean + self.bonus * left[:, None] * np.sqrt(np.maximum(square - mean**2, 0.0))

    # ------------------------------------------------------------------ strangers
    def _stranger_scores(self, lives: LiveCustomers, rows: np.ndarray) -> np.ndarray:
        """Score (n, K + 1) of customers of whom nothing is seen but the picture."""
        if self._pool is None:  # the first round of the pool: as if they were new
            cloud = Cloud(*(array[rows] for array in self._cloud))._replace(
                log_weight=np.zeros((len(rows), self.particles))
            )
            return self._posterior_score(lives, cloud, cloud.weights())
        pool, state = self._pool, self._pool.lives(lives.state)
        number = np.arange(pool.log_weight.size)
        each = self.base.score(lives.world, state, number, respond(lives.world, state, number))
        seen = self.likelihood[lives.state.customers["image"][rows]]
        log_weight = look(lives.world, pool.customers, np.zeros(len(rows), np.int64), seen)
        weights = Cloud(pool.customers, pool.labels, log_weight).weights()
        left = 1.0 - pool.customers["day"][0] / lives.world.params[0]["horizon_days"]
        return self._optimistic(weights @ each, weights @ each**2, weights @ left)

    def _strangers(self, number: int) -> Cloud:
        """True states at visits where the camera knew nobody, of other customers who lived under this policy."""
        lives = self.shop.customers(POOL_CUSTOMERS, POOL_SEED, "tune", first=number * POOL_CUSTOMERS)
        self._keep, alive = [], np.arange(POOL_CUSTOMERS)
        while len(alive):
            actions = np.zeros(POOL_CUSTOMERS, np.int64)
            actions[alive] = self.choose(lives, alive)
            lives.step(actions)
            alive = alive[~lives.done[alive]]
        kept, self._keep, self._lives = self._keep, None, None
        customers, labels = (np.concatenate(part) for part in zip(*kept, strict=True))
        chosen = np.random.default_rng([self.seed, number]).permutation(len(customers))[:POOL]
        return Cloud(customers[chosen][None], labels[chosen][None], np.zeros((1, len(chosen))))
