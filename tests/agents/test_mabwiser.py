"""LinUCB, LinTS and the greedy estimate against MABWiser (Strong, Kleynhans & Kadioglu 2021) on shared data."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build

from agents.epsilon_greedy import EpsilonGreedy
from agents.linear_bandits import LinUCB
from agents.ridge import with_bias
from agents.thompson import LinTS

mab = pytest.importorskip("mabwiser.mab", reason="MABWiser is not installed (requirements.txt)")
create_rng = pytest.importorskip("mabwiser.utils").create_rng

ARMS, SIZE, RIDGE, ALPHA = 8, 20, 2.0, 0.7


@pytest.fixture(scope="module")
def shared():
    """1,500 interactions with unequal arms, and 40 fresh contexts, all with features of different scale."""
    rng = np.random.default_rng(5)
    x, action = rng.standard_normal((1500, SIZE)) * rng.uniform(0.2, 2, SIZE), rng.choice(ARMS, 1500, p=np.arange(1, 9) / 36)
    reward = np.einsum("nd,nd->n", x, rng.standard_normal((ARMS, SIZE))[action]) + rng.standard_normal(1500)
    return x, action, reward, rng.standard_normal((40, SIZE))


def ours(agent_class, shared, **settings):
    x, action, reward, _ = shared
    agent = build(agent_class, HintEnv(labels=ARMS - 1, size=SIZE), ridge=RIDGE, **settings)
    agent.start()
    for rows in np.array_split(np.arange(len(x)), 4):
        agent.absorb(x[rows], action[rows], reward[rows])
    return agent


def theirs(policy, shared, seed=1):
    x, action, reward, _ = shared
    peer = mab.MAB(list(range(ARMS)), policy, seed=seed)
    peer.fit(action, reward, with_bias(x))
    return peer


def expectations(peer, x):
    return np.array([[row[arm] for arm in range(ARMS)] for row in peer.predict_expectations(with_bias(x))])


def test_verification_linucb_scores_equal_mabwisers_to_1e_9(shared):
    score = ours(LinUCB, shared).scores(shared[3], ALPHA)
    peer = expectations(theirs(mab.LearningPolicy.LinUCB(alpha=ALPHA, l2_lambda=RIDGE), shared), shared[3])
    print("LinUCB at one context", score[0].round(6), "MABWiser", peer[0].round(6), "largest difference",
          np.abs(score - peer).max())
    np.testing.assert_allclose(score, peer, rtol=0, atol=1e-9)


def test_verification_greedy_estimates_equal_mabwisers_lingreedy_to_1e_9(shared):
    score = ours(EpsilonGreedy, shared)._greedy_scores(shared[3])
    peer = expectations(theirs(mab.LearningPolicy.LinGreedy(epsilon=0, l2_lambda=RIDGE), shared), shared[3])
    np.testing.assert_allclose(score, peer, rtol=0, atol=1e-9)


def test_verification_lints_has_mabwisers_posterior_mean_and_covariance(shared):
    agent = ours(LinTS, shared, alpha=ALPHA)
    peer = theirs(mab.LearningPolicy.LinTS(alpha=ALPHA, l2_lambda=RIDGE), shared)
    agent._catch_up()
    for arm in range(ARMS):
        model = peer._imp.arm_to_model[arm]
        np.testing.assert_allclose(agent.weights_[arm], model.beta, rtol=0, atol=1e-9)
        np.testing.assert_allclose(agent.whitener_[arm].T @ agent.whitener_[arm], model.A_inv, rtol=0, atol=1e-9)


def test_verification_lints_draws_and_choices_are_distributed_as_mabwisers(shared):
    """4,000 draws each at one context with several contenders: Kolmogorov-Smirnov per arm, chi-square on the choices.

    MABWiser 2.7.4 copies its generator into every arm at `fit`, so that all arms are drawn with the same normals; here each
    arm is given a generator of its own, as the algorithm means it. Both are also held against `probability_matching`.
    """
    stats = pytest.importorskip("scipy.stats")
    agent = ours(LinTS, shared, alpha=6.0)              # wide, so that many arms have a chance
    peer = theirs(mab.LearningPolicy.LinTS(alpha=6.0, l2_lambda=RIDGE), shared, seed=7)
    for arm in range(ARMS):
        peer._imp.arm_to_model[arm].rng = create_rng(100 + arm)
    x = np.repeat(shared[3][:1], 4000, axis=0)
    a, b = agent.draw(x, np.random.default_rng(3)), expectations(peer, x)
    levels = [stats.ks_2samp(a[:, arm], b[:, arm]).pvalue for arm in range(ARMS)]
    assert min(levels) > 0.01 / ARMS, levels
    chosen = np.array([np.bincount(s.argmax(1), minlength=ARMS) for s in (a, b)])
    seen = chosen.sum(0) >= 10
    assert seen.sum() >= 4
    assert stats.chi2_contingency(chosen[:, seen]).pvalue > 0.01
    agent.explore_at_evaluation = True
    exact = agent.action_probabilities(x[:1], np.ones((1, ARMS), bool))[0]
    print("choices of LinTS", chosen[0] / 4000, "MABWiser", chosen[1] / 4000, "probabilities", exact.round(4))
    for counts in chosen:
        assert stats.chisquare(counts[seen], 4000 * exact[seen] / exact[seen].sum() * counts[seen].sum() / 4000).pvalue > 0.01
