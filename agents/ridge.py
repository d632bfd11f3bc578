"""One Bayesian ridge regression per action: what LinUCB, Thompson sampling and the neural-linear bandit know.

    A_a = ridge I + sum x x',   b_a = sum r x,   theta_a = A_a^-1 b_a,   width_a(x) = sqrt(x' A_a^-1 x)

theta_a and A_a^-1 are the posterior mean and (per unit of noise variance) covariance of the weights under the prior
N(0, I / ridge) (Bishop 2006, Pattern Recognition and Machine Learning, section 3.3). x is the observation with a leading
1, unless a sub-class says otherwise, and hold-back is an action like the others.

Many rows at once are summed into A and b and solved by Cholesky: with L L' = A_a the width is |L^-1 x|, one matrix
product for all customers and actions. Few rows are taken one by one (`sherman_morrison`). The same numbers to rounding;
`absorb` and `mean_and_width` switch by the number of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents import row_blocks
from agents.bandit import Bandit
from agents.snapshot import Snapshot

FEW = 128       # rows up to which one by one is faster: at d = 65 and 32 actions a solve of all costs as much as some 500


class RidgeBandit(Bandit):
    """A bandit whose estimates are ridge regressions.

    Parameters
    ----------
    ridge : float > 0
        Prior precision of every weight.
    **bandit
        As `Bandit`.

    Attributes
    ----------
    gram_ : ndarray (K + 1, d, d)
        A of every action; d = D + 1, the leading 1 first.
    moment_, weights_ : ndarray (K + 1, d)
        b and theta of every action.
    whitener_ : ndarray (K + 1, d, d)
        Inverse Cholesky factor of A.
    count_ : ndarray (K + 1,) int64
        Uses of every action.
    """

    def __init__(self, *, ridge: float = 5.0, **bandit: Any) -> None:
        super().__init__(**bandit)
        self.ridge = self._at_least("ridge", ridge, 1e-9)
        self.weights_: NDArray[np.float64] | None = None

    def features(self, observation: NDArray) -> NDArray[np.float64]:
        """x of the regressions, (N, d): (N, D) with a leading 1."""
        return with_bias(observation)

    @property
    def feature_size(self) -> int:
        """d, the length of x."""
        return self.observation_size + 1

    # ------------------------------------------------------------------ learning
    def start(self) -> None:
        """Forget everything: A = ridge I, b = 0."""
        actions, d = self.num_actions, self.feature_size
        self.gram_ = np.repeat(self.ridge * np.eye(d)[None], actions, axis=0)
        self.moment_ = np.zeros((actions, d))
        self.count_ = np.zeros(actions, dtype=np.int64)
        self.whitener_, self.weights_ = np.empty((actions, d, d)), np.empty((actions, d))
        self._pending = np.ones(actions, dtype=bool)        # A and b hold updates that do not count yet
        self._unfactored = np.zeros(actions, dtype=bool)    # the weights are newer than the whitener: one by one
        self._updated, self._one_by_one = True, False       # whether any action is pending, or unfactored
        self._packed: NDArray[np.float64] | None = None
        self._single: Any = None
        self.refresh()

    def update(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """Add N interactions to A and b; `refresh` makes them count.

        Parameters
        ----------
        observation : array (N, D)
        action : array (N,) int
        reward : array (N,)
            Already scaled and charged.
        """
        self._catch_up()
        order = np.argsort(action, kind="stable")
        x, reward = self.features(observation)[order], np.asarray(reward)[order]
        number = np.bincount(action, minlength=self.num_actions)
        ends = np.cumsum(number)
        for a in np.flatnonzero(number):
            of_a = slice(ends[a] - number[a], ends[a])
            rows = x[of_a]
            self.gram_[a] += rows.T @ rows
            self.moment_[a] += reward[of_a] @ rows
        self.count_ += number
        self._pending[number > 0] = self._updated = True

    def refresh(self) -> None:
        """Solve for the weights and widths of the actions updated since the last call."""
        if self._updated:
            self._updated, self._packed = False, None
            self._factor(self._pending)

    def absorb(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """`update` and `refresh` in one: up to `FEW` rows by Sherman and Morrison, more by Cholesky."""
        if len(action) > FEW:
            super().absorb(observation, action, reward)
            return
        self.refresh()
        packed = self._inverses()
        self._loops.absorb(self.features(observation), np.asarray(action, np.int64), np.asarray(reward, np.float64), self.gram_,
                           self.moment_, self.weights_, packed, *self._shadow, self.count_, self._unfactored, self._product)
        self._one_by_one = True

    def _factor(self, stale: NDArray[np.bool_]) -> None:
        """Bring weights and whiteners of the actions in `stale` (K + 1,) up to A and b, and clear the flags."""
        weights, which = self._need("weights_"), np.flatnonzero(stale)
        if len(which):
            whitener = inverse_lower(np.linalg.cholesky(self.gram_[which]))            # L^-1
            white = np.einsum("aij,aj->ai", whitener, self.moment_[which])
            self.whitener_[which] = whitener
            weights[which] = np.einsum("aij,ai->aj", whitener, white)             # L^-T L^-1 b
            self._pending[which] = self._unfactored[which] = False
            self._single = None

    def _catch_up(self) -> None:
        """Bring the whiteners up to what was learned one by one."""
        if self._one_by_one:
            self._one_by_one = False
            self._factor(self._unfactored)

    def _screen(self) -> Any:
        """Whiteners in single precision (`screened_argmax.Screen`), made when first asked for."""
        self._catch_up()
        if self._single is None:
            from agents.screened_argmax import screen_of

            self._single = screen_of(self.whitener_)
        return self._single

    def _inverses(self) -> NDArray[np.float64]:
        """Packed inverses for updates one by one, made from the whiteners when first asked for."""
        if self._packed is None:
            from agents import sherman_morrison

            self._loops: Any = sherman_morrison
            self._catch_up()
            self._packed = sherman_morrison.packed_inverse(self.whitener_)
            size, d, self._everything = self._packed.shape[1], self.feature_size, np.ones(self.num_actions, dtype=bool)
            self._shadow = sherman_morrison.shadow_memory(self.num_actions, size)
            sherman_morrison.shadow(self._packed, *self._shadow)
            self._row, self._product, self._products = np.empty(d), np.empty(d), np.empty(size)     # x, A^-1 x and x_i x_j
            self._scratch = self._row, sherman_morrison.shadow_memory(1, size)[0][0], np.empty(self.num_actions)
        return self._packed

    # ------------------------------------------------------------------ estimating
    def means(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """theta' x of N rows of features and all actions, (N, K + 1), in scaled reward."""
        return row_blocks.multiply(x, self._need("weights_").T)

    def expected_reward(self, observation: ArrayLike) -> NDArray[np.float64]:
        """theta' x in money (N, K + 1), without the charge that a push was learned with."""
        x = self.features(np.asarray(observation, dtype=np.float32))
        charge = getattr(self, "push_charge_", None)
        money = self.means(x) / self.reward_scale
        money[:, 1:] += self.push_charge if charge is None else charge
        return money

    def widths(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """sqrt(x' A^-1 x) = |L^-1 x| of N rows of features and all actions, (N, K + 1)."""
        self._need("weights_")
        self._catch_up()
        actions, d = self.num_actions, x.shape[1]
        white = row_blocks.multiply(x, self.whitener_.reshape(actions * d, d).T).reshape(len(x), actions, d)
        return np.sqrt(np.einsum("nad,nad->na", white, white))

    def mean_and_width(self, observation: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """theta' x and sqrt(x' A^-1 x), each (N, K + 1): few rows by the packed inverses, many by the whiteners."""
        x = self.features(observation)
        if len(x) > FEW:
            width = self.widths(x)          # first, since it may bring the weights up to date
            return self.means(x), width
        packed = self._inverses()
        mean, width = np.empty((len(x), self.num_actions)), np.empty((len(x), self.num_actions))
        self._loops.mean_and_width(x, self._need("weights_"), packed, self._products, mean, width)
        return mean, width

    def _greedy_scores(self, observation: NDArray) -> NDArray[np.float64]:
        return self.means(self.features(observation))

    def _learner(self) -> Snapshot:
        arrays = {"gram": self.gram_, "moment": self.moment_, "count": self.count_, "weights": self._need("weights_"),
                  "whitener": self.whitener_, "unfactored": self._unfactored}
        if self._packed is not None:
            arrays |= {"packed": self._packed, "shadow": self._shadow[0], "shadow_norm": self._shadow[1]}
        return Snapshot(arrays, {"one_by_one": self._one_by_one})

    def _set_learner(self, arrays: dict[str, NDArray], values: dict[str, Any]) -> None:
        self.gram_, self.moment_, self.count_ = arrays["gram"], arrays["moment"], arrays["count"]
        self.weights_, self.whitener_ = arrays["weights"], arrays["whitener"]
        self._pending[:], self._updated, self._single = False, False, None
        if "packed" in arrays:
            self._inverses()                                    # its memory; then what was in it
            self._packed, size = arrays["packed"], arrays["packed"].shape[1]
            self._shadow[0][:, :size], self._shadow[1][:] = arrays["shadow"][:, :size], arrays["shadow_norm"]
        self._unfactored, self._one_by_one = arrays["unfactored"], bool(values["one_by_one"])

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        self._need("weights_")
        self._catch_up()
        return {"weights": self._need("weights_"), "gram": self.gram_, "moment": self.moment_,
                "count": self.count_}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.start()
        self.gram_, self.moment_, self.count_ = arrays["gram"], arrays["moment"], arrays["count"]
        self._pending[:] = self._updated = True
        self.refresh()
        self.weights_ = arrays["weights"]           # as trained, to the bit


def with_bias(observation: NDArray) -> NDArray[np.float64]:
    """(N, D) -> (N, 1 + D) float64 with a leading 1."""
    x = np.empty((len(observation), observation.shape[1] + 1))
    x[:, 0] = 1.0
    x[:, 1:] = observation
    return x


def inverse_lower(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of lower triangular matrices (M, d, d), by halves: [[A, 0], [B, C]]^-1 = [[A^-1, 0], [-C^-1 B A^-1, C^-1]].

    Three times faster at d = 97 than the general inverse, which is all NumPy has.
    """
    d = lower.shape[1]
    if d <= 24:         # below this size the general inverse is as fast
        return np.tril(np.linalg.inv(lower))
    half = d // 2
    inverse = np.zeros_like(lower)
    inverse[:, :half, :half] = top = inverse_lower(lower[:, :half, :half])
    inverse[:, half:, half:] = bottom = inverse_lower(lower[:, half:, half:])
    inverse[:, half:, :half] = -bottom @ (lower[:, half:, :half] @ top)
    return inverse
