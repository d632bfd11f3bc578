"""Speed of the linear bandits, deciding and learning, as ratios to peers in the same run.

    python -m benchmarks.bandit_speed [rounds=5] [singles=500] [batches=4]

64 features, 32 arms, clicks as rewards. One by one: LinUCB decides on one context (`choose_one`) and learns from its reward
(`absorb_one`), against Open Bandit Pipeline's and MABWiser's. In batches of 1,000: LinUCB and LinTS decide on all, then
learn from all, against contextualbandits' (one job) and MABWiser's. Peers are imported where they are installed, else left
out: they are no part of the project's requirements (but MABWiser, for its tests). Every library sees the same contexts and
starts from 2,000 uniformly random decisions; ours carries an intercept besides. Time is that of the thread's processor, so
that a busy machine costs all alike, as far as caches allow; rounds alternate, and the medians of the rounds and of their
ratios are printed. Run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import numpy as np
from gymnasium import spaces

from agents.bandit import Bandit
from agents.linear_bandits import LinUCB
from agents.thompson import LinTS

FEATURES, ARMS, BATCH, START = 64, 32, 1000, 2000
Work = Callable[[int], int]  # does a round from an offset, returns the number of decisions


def log(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Contexts (rows, 64) of length about 1 and the click (rows, 32) that each arm would get."""
    rng = np.random.default_rng(0)
    contexts = rng.standard_normal((rows, FEATURES)) / np.sqrt(FEATURES)
    chance = 1 / (1 + np.exp(-contexts @ rng.standard_normal((FEATURES, ARMS))))
    return contexts, (rng.random((rows, ARMS)) < chance).astype(float)


CONTEXTS, CLICKS = log(START + 20_000)
RANDOM = np.random.default_rng(1).integers(0, ARMS, START)
FIRST = CONTEXTS[:START], RANDOM, CLICKS[np.arange(START), RANDOM]


def rows_of(offset: int, number: int) -> np.ndarray:
    """Row numbers of the stream after the random start, around and around."""
    return START + (offset + np.arange(number)) % (len(CONTEXTS) - START)


def ours(agent_class: type[Bandit]) -> Any:
    """One of our bandits after the random start."""
    agent = agent_class(
        observation_space=spaces.Box(-np.inf, np.inf, (FEATURES,)), action_space=spaces.Discrete(ARMS), layout={}, seed=0,
        alpha=1.0, ridge=1.0,
    )  # fmt: skip
    agent.start()
    agent.absorb(*FIRST)
    return agent


def our_singles(number: int) -> Work:
    """LinUCB one by one."""
    agent = ours(LinUCB)

    def work(offset: int) -> int:
        for i in rows_of(offset, number).tolist():
            arm = agent.choose_one(CONTEXTS[i])
            agent.absorb_one(CONTEXTS[i], arm, float(CLICKS[i, arm]))
        return number

    return work


def our_batches(agent_class: type[Bandit], number: int) -> Work:
    """Batches as the learning loop takes them."""
    agent, rng, allowed = ours(agent_class), np.random.default_rng(2), np.ones((BATCH, ARMS), bool)

    def work(offset: int) -> int:
        for batch in range(number):
            rows = rows_of(offset + batch * BATCH, BATCH)
            action = agent._explore(CONTEXTS[rows], allowed, rng)
            agent.absorb(CONTEXTS[rows], action, CLICKS[rows, action])
        return number * BATCH

    return work


def obp_singles(number: int) -> Work:
    """Open Bandit Pipeline's LinUCB."""
    from obp.policy import LinUCB as Peer

    peer = Peer(dim=FEATURES, n_actions=ARMS, len_list=1, batch_size=1, epsilon=1.0, random_state=1)
    for context, arm, reward in zip(*FIRST, strict=True):
        peer.update_params(int(arm), float(reward), context[None])

    def work(offset: int) -> int:
        for i in rows_of(offset, number).tolist():
            arm = int(peer.select_action(CONTEXTS[i : i + 1])[0])
            peer.update_params(arm, float(CLICKS[i, arm]), CONTEXTS[i : i + 1])
        return number

    return work


def mabwiser(policy: str, size: int, number: int) -> Work:
    """MABWiser's LinUCB or LinTS in batches of `size`."""
    from mabwiser.mab import MAB, LearningPolicy

    peer = MAB(list(range(ARMS)), getattr(LearningPolicy, policy)(alpha=1.0, l2_lambda=1.0), seed=1)
    peer.fit(FIRST[1], FIRST[2], FIRST[0])

    def work(offset: int) -> int:
        for batch in range(number):
            rows = rows_of(offset + batch * size, size)
            action = np.atleast_1d(peer.predict(CONTEXTS[rows]))
            peer.partial_fit(action, CLICKS[rows, action], CONTEXTS[rows])
        return number * size

    return work


def contextualbandits(policy: str, number: int) -> Work:
    """contextualbandits' LinUCB or LinTS in batches of 1,000, one job."""
    from contextualbandits import online

    width = {"alpha": 1.0} if policy == "LinUCB" else {"v_sq": 1.0}
    peer = getattr(online, policy)(nchoices=ARMS, lambda_=1.0, random_state=1, njobs=1, **width)
    peer.partial_fit(*FIRST)

    def work(offset: int) -> int:
        for batch in range(number):
            rows = rows_of(offset + batch * BATCH, BATCH)
            action = np.asarray(peer.predict(CONTEXTS[rows])).astype(int)
            peer.partial_fit(CONTEXTS[rows], action, CLICKS[rows, action])
        return number * BATCH

    return work


def per_second(work: Work, offset: int) -> float:
    """Decisions and updates per second of this thread's processor time."""
    started = time.thread_time()
    number = work(offset)
    return number / (time.thread_time() - started)


def compare(title: str, own: Callable[[], Work], peers: dict[str, Callable[[], Work]], rounds: int) -> dict[str, float]:
    """Print one table; the median ratio ours / peer of every peer that is installed."""
    works = {"ours": own()}
    print(title)
    for name, make in peers.items():
        try:
            works[name] = make()
        except ImportError as error:
            print(f"  {name:<24} not installed ({error})")
    for work in works.values():
        per_second(work, 0)  # warm: compiled, caches filled
    speeds = [{name: per_second(work, 1000 * (k + 1)) for name, work in works.items()} for k in range(rounds)]
    ratios = {}
    for name in works:
        line = f"  {name:<24} {median(row[name] for row in speeds):10,.0f} /s"
        if name != "ours":
            each = [row["ours"] / row[name] for row in speeds]
            ratios[name] = median(each)
            line += f"   ours is {ratios[name]:6.2f} times as fast   ({min(each):.2f} to {max(each):.2f})"
        print(line)
    return ratios


def main(rounds: int = 5, singles: int = 500, batches: int = 4) -> dict[str, float]:
    """Print all tables; the ratios by title and peer."""
    warnings.filterwarnings("ignore")
    for package in ("obp", "mabwiser", "contextualbandits"):
        try:
            print(f"{package} {version(package)}", end="   ")
        except PackageNotFoundError:
            pass
    print(f"\n{FEATURES} features, {ARMS} arms, decide and learn, {rounds} rounds, processor time of one thread\n")
    found = {}
    for title, own, peers in (
        ("LinUCB one by one", lambda: our_singles(8 * singles),
         {"obp": lambda: obp_singles(singles), "mabwiser": lambda: mabwiser("LinUCB", 1, singles // 10)}),
        ("LinUCB, batches of 1,000", lambda: our_batches(LinUCB, batches),
         {"contextualbandits": lambda: contextualbandits("LinUCB", batches),
          "mabwiser": lambda: mabwiser("LinUCB", BATCH, batches)}),
        ("LinTS, batches of 1,000", lambda: our_batches(LinTS, batches),
         {"contextualbandits": lambda: contextualbandits("LinTS", batches),
          "mabwiser": lambda: mabwiser("LinTS", BATCH, batches)}),
    ):  # fmt: skip
        found |= {f"{title}: {name}": ratio for name, ratio in compare(title, own, peers, rounds).items()}
    return found


if __name__ == "__main__":
    main(**{key: int(number) for key, number in (argument.split("=") for argument in sys.argv[1:])})
