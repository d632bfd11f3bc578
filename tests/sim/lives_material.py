"""Small logs for off-policy evaluation whose truth is known: a table of actions, a contextual bandit, a two-state chain."""

from __future__ import annotations

import numpy as np

from sim.evaluation.estimators.data import LoggedLives


def table(action, reward, propensity, target, start=None, **more):
    """A log from lists."""
    start = np.arange(len(action) + 1) if start is None else np.asarray(start)
    reward, propensity, target = (np.asarray(column, float) for column in (reward, propensity, target))
    return LoggedLives(start, np.asarray(action), reward, propensity, target, **more)


def softmax(score):
    odds = np.exp(score - score.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


class Bandit:
    """x ~ N(0, I_4), three actions, E[r | x, a] = sin(x'w_a) + b_a; the target policy is a softmax of x, the logging policy
    another one that acts at random half of the time, so that no ratio exceeds 6."""

    def __init__(self, seed=0, sharpness=1.0):
        rng = np.random.default_rng(seed)
        self.w, self.b = rng.normal(size=(4, 3)), np.array([0.0, 0.5, 1.0])
        self.mu, self.pi = rng.normal(size=(4, 3)), sharpness * rng.normal(size=(4, 3))

    def expected(self, x):
        return np.sin(x @ self.w) + self.b

    def log(self, n, seed, features=True):
        rng = np.random.default_rng([seed, 1])
        x = rng.normal(size=(n, 4))
        mu, pi = 0.5 * softmax(x @ self.mu) + 0.5 / 3, softmax(x @ self.pi)
        action = (mu.cumsum(1) <= rng.random(n)[:, None]).sum(1).clip(max=2)
        rows = np.arange(n)
        reward = self.expected(x)[rows, action] + rng.normal(size=n)
        return table(action, reward, mu[rows, action], pi, features=x if features else None, behaviour=mu)

    def truth(self, n=2_000_000):
        x = np.random.default_rng(99).normal(size=(n, 4))
        return float((softmax(x @ self.pi) * self.expected(x)).sum(1).mean())


class Chain:
    """Lives of `horizon` steps between two states; action 1 pays 1 in state 0 but leads to state 1, where everything pays 0
    and only action 0 leads back: what pays now costs later. The state is the only feature, so a linear model is exact."""

    stay = np.array([[0.1, 0.8], [0.3, 0.9]])  # P(next state is 1 | state, action)

    def __init__(self, horizon=6, pi=(0.3, 0.2), mu=(0.5, 0.5)):
        self.horizon, self.pi, self.mu = horizon, np.array(pi), np.array(mu)  # P(action 1 | state)

    def truth(self):
        value = np.zeros(2)
        for _ in range(self.horizon):
            q = np.array([[0.0, 1.0], [0.0, 0.0]]) + self.stay * value[1] + (1 - self.stay) * value[0]
            value = (1 - self.pi) * q[:, 0] + self.pi * q[:, 1]
        return float(value[0])

    def log(self, n, seed):
        rng = np.random.default_rng([seed, 2])
        state, states, actions = np.zeros(n, int), [], []
        for _ in range(self.horizon):
            action = (rng.random(n) < self.mu[state]).astype(int)
            states.append(state)
            actions.append(action)
            state = (rng.random(n) < self.stay[state, action]).astype(int)
        s, a = np.column_stack(states).ravel(), np.column_stack(actions).ravel()
        time = np.tile(np.arange(self.horizon), n)
        features = np.column_stack([(s == k) & (time == t) for k in range(2) for t in range(self.horizon)]).astype(float)
        mu = np.column_stack([1 - self.mu[s], self.mu[s]])
        pi = np.column_stack([1 - self.pi[s], self.pi[s]])
        return table(a, (s == 0) & (a == 1), mu[np.arange(len(a)), a], pi, np.arange(n + 1) * self.horizon, features=features, behaviour=mu)
