"""What every metric in MLflow means: one table, from which come docs/metrics.md and the page that each run's description links to.

A name is `area/...`; a part in angle brackets stands for any policy, oracle, metric or phase.  All metrics of a run share one
step axis: interactions with the shop while the agent learned.  Evaluation stands at the last of them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from sim.evaluation.metrics import METRICS

BETTER = {1: "higher", -1: "lower", 0: ""}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One metric, or a family of metrics: `name` with parts in angle brackets."""

    name: str
    unit: str
    meaning: str
    better: int = 0

    def matches(self, name: str) -> bool:
        pattern = re.escape(self.name).replace("<", "(?P<").replace(">", ">[^/]+)")
        return re.fullmatch(re.sub(r"\(\?P<[^>]+>", "(?:", pattern), name) is not None


_MONEY, _STEP = "money", "money per opportunity"
_AS = "as of <metric>"

AREAS: tuple[tuple[str, str, tuple[Entry, ...]], ...] = (
    (
        "learning", "the policy as it stands, on tuning customers: training faces, other customers than those it learns from",
        (Entry("learning/value_per_customer", _MONEY, "undiscounted reward of a customer's life, mean over 1,000 customers", 1),),
    ),
    (
        "rollout", "what learning itself earned, exploration included; on customers it learns from",
        (
            Entry("rollout/value_per_step", _STEP, "reward of an interaction, since the last report", 1),
            Entry("rollout/value_per_customer", _MONEY, "reward of the lives that ended since the last report", 1),
            Entry("rollout/push_rate", "pushes per opportunity", "how often something was pushed"),
            Entry("rollout/fps", "interactions per second", "speed of learning, the shop included", 1),
        ),
    ),
    (
        "train", "inside the learner",
        (
            Entry("train/loss", "reward units", "PPO: policy loss + vf_coef * value loss - ent_coef * entropy; others: their loss", -1),
            Entry("train/policy_gradient_loss", "reward units", "PPO's clipped surrogate, negated"),
            Entry("train/value", "money", "fitted Q: mean target, what the log's opportunities are believed to be worth"),
            Entry("train/value_loss", "reward units squared", "mean squared error of the critic", -1),
            Entry("train/entropy", "nats", "entropy of the policy: 0 is certain, log(K + 1) knows nothing"),
            Entry("train/approx_kl", "nats", "divergence between the policy before and after an update"),
            Entry("train/clip_fraction", "share of transitions", "where PPO's ratio was clipped"),
            Entry("train/explained_variance", "share", "of the returns by the critic; 1 is perfect, below 0 worse than a constant", 1),
            Entry("train/learning_rate", "step size", "of Adam"),
            Entry("train/push_charge", _MONEY, "taken off every push while learning"),
        ),
    ),
    (
        "tuning", "settings tried on tuning customers; the step counts the interactions they cost",
        (
            Entry("tuning/push_charge", _MONEY, "charge per push tried"),
            Entry("tuning/cap", "pushes per week", "frequency cap tried; -1 is none"),
            Entry("tuning/value_per_customer", _MONEY, "what it earned", 1),
        ),
    ),
    (
        "evaluate", "on customers never trained on, with faces that training never showed; low and high end the 95 % interval",
        (
            Entry("evaluate/<metric>", _AS, "mean of the run's agent"),
            Entry("evaluate_low/<metric>", _AS, "lower end of its interval"),
            Entry("evaluate_high/<metric>", _AS, "upper end of its interval"),
            Entry("evaluate/<policy>/<metric>", _AS, "mean of every policy evaluated beside it, itself included"),
            Entry("evaluate_low/<policy>/<metric>", _AS, "lower end"),
            Entry("evaluate_high/<policy>/<metric>", _AS, "upper end"),
        ),
    ),
    (
        "paired", "the agent minus another policy, on the same customers with the same luck; clear of zero where low and high agree",
        (
            Entry("paired/minus_<policy>/<metric>", _AS, "mean difference"),
            Entry("paired_low/minus_<policy>/<metric>", _AS, "lower end of its 95 % interval"),
            Entry("paired_high/minus_<policy>/<metric>", _AS, "upper end"),
        ),
    ),
    (
        "oracle", "upper references that know the true state, as no policy can",
        (
            Entry("oracle/<oracle>/<metric>", _AS, "mean of the oracle"),
            Entry("regret_to_<oracle>/<policy>", _MONEY, "value per customer that the oracle earns more, on the same customers", -1),
        ),
    ),
    (
        "compare", "of `python -m sim.compare` and of sweeps",
        (
            Entry("compare/<policy>/<metric>", _AS, "mean over seeds and customers"),
            Entry("sweep/<arm>/<metric>", _AS, "mean over the runs of a sweep that differ in their seed alone"),
            Entry("sweep/runs_finished", "runs", "of a sweep, so far", 1),
            Entry("sweep/runs_failed", "runs", "of a sweep: started, and without a summary at its end", -1),
        ),
    ),
    (
        "timing", "wall clock",
        (
            Entry("timing/<phase>", "seconds", "how long a part of the run took", -1),
            Entry("tracking/non_finite", "numbers", "metrics so far that were no finite number and were left out", -1),
        ),
    ),
)  # fmt: skip


def entries() -> Iterable[Entry]:
    """All entries of all areas."""
    return (entry for _, _, group in AREAS for entry in group)


def entry_of(name: str) -> Entry | None:
    """The entry that explains a metric, None for a stranger; `<metric>` must be one that the evaluation knows."""
    for entry in entries():
        if entry.matches(name) and (not entry.name.endswith("<metric>") or name.rsplit("/", 1)[-1] in METRICS):
            return entry
    return None


def as_markdown() -> str:
    """The page."""
    lines = [
        "# Metrics",
        "",
        "Made by `python -m sim.tracking metrics` from `sim/tracking/dictionary.py` and `sim/evaluation/metrics.py`.",
        "",
        "All metrics of a run share one step axis: interactions with the shop while the agent learned. Evaluation stands at the",
        "last of them. A part in angle brackets stands for any policy, oracle, metric or phase; `<metric>` is one of the first table.",
        "",
        "## Metrics of a policy",
        "",
        "Each a mean over customers, or a ratio of two such means. Guard rails say whether a policy lives off negative affect.",
        "",
        *_table(
            [(name, m.unit, m.meaning + (" (guard rail)" if m.guard else ""), m.better) for name, m in METRICS.items()]
        ),
    ]
    for area, about, group in AREAS:
        lines += ["", f"## {area}", "", f"{about[0].upper()}{about[1:]}.", ""]
        lines += _table([(entry.name, entry.unit, entry.meaning, entry.better) for entry in group])
    return "\n".join(lines) + "\n"


def _table(rows: Iterable[tuple[str, str, str, int]]) -> list[str]:
    head = ["| name | unit | meaning | better |", "|---|---|---|---|"]
    return head + [
        f"| `{name}` | {unit.replace('<', '&lt;')} | {meaning} | {BETTER[better]} |"
        for name, unit, meaning, better in rows
    ]
