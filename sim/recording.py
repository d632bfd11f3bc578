"""What a run tells MLflow: its name and tags, the data it used, its results with intervals, and the policy as a model.

Experiment = question (`tracking.experiment`), parent = the sweep, run = policy x seed x scenario.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim import report
from sim.tracking.models import code_of
from sim.tracking.names import flatten
from sim.tracking.store import NOTE_TAG

if TYPE_CHECKING:
    import pandas as pd

    from sim.replay import Page
    from sim.shop.world import Shop
    from sim.tracking import Run

DICTIONARY = "metrics.md"
FIGURES = "figures"
_SHOWN = ("value_per_customer", "push_rate", "opt_out_rate", "days_per_customer")


def run_name(agent: str, env: str, camera: dict[str, Any], seed: int) -> str:
    """`ppo-shop-s0`; with the camera where it is not the perceived one, `ppo-shop-blind-s0`."""
    channels = [str(camera[part]) for part in ("emotion", "identity", "mask")]
    shown = channels[0] if len(set(channels)) == 1 else "+".join(channels)
    return "-".join([agent, env, *([] if shown == "perceived" else [shown]), f"s{seed}"])


def config_hash(config: dict[str, Any]) -> str:
    """16 hex digits of everything that decides a run's numbers: the resolved configuration without what only records or runs it."""
    only_around = ("tracking", "replay", "resume", "checkpoint", "executor")
    decides = {key: value for key, value in config.items() if key not in only_around}
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:16]


def tags(config: dict[str, Any], agent: str, shop: Shop, git: dict[str, Any]) -> dict[str, Any]:
    """What runs are told apart and found by."""
    camera = {f"camera_{part}": config["camera"][part] for part in ("emotion", "identity", "mask")}
    return {
        "kind": "run", "agent": agent, "env": shop.name, "seed": config["seed"], **camera,
        "config_hash": config_hash(config), "shop_digest": shop.digest, "gallery_digest": shop.gallery.digest,
        "catalog_digest": shop.catalog.digest, "real_gallery": config["population"]["gallery"] is not None,
        **{f"git_{k}": v for k, v in git.items()},
        "mlflow.source.name": "python -m sim.run", "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": git["commit"]} if git["commit"] else {}),
    }  # fmt: skip


def begin(tracked: Run, config: dict[str, Any], shop: Shop, table: pd.DataFrame, folder: Path) -> None:
    """The parameters, the metric dictionary, and the data that the run is made from."""
    import pyarrow as pa

    from sim.tracking.datasets import describe
    from sim.tracking.dictionary import as_markdown

    tracked.params(flatten(config))
    report.write_text(folder / DICTIONARY, as_markdown())
    tracked.artifact(folder / DICTIONARY)
    tracked.tags({NOTE_TAG: _links("This run goes on.")})
    columns = shop.catalog.table.dtype.names
    assert columns is not None  # a structured array
    catalog = pa.table({"label": list(shop.catalog.names), **{n: shop.catalog.table[n] for n in columns}})
    tracked.dataset(
        describe("catalog", shop.catalog.digest, config["catalog"]["path"], catalog.schema, len(catalog)), "labels"
    )
    gallery = config["population"]["gallery"]
    faces = pa.Schema.from_pandas(table.drop(columns="embedding", errors="ignore"), preserve_index=False)
    source = gallery or "perception/personas/shipped"
    tracked.dataset(describe("gallery-features", shop.gallery.digest, source, faces, len(table)), "faces")


def replay_page(
    settings: Any, folder: Path, load_agent: Any, shop: Shop, table: pd.DataFrame, trusted: Any
) -> Page | None:
    """The session player's page in the run's folder; None, and one sentence on stderr, where there can be none."""
    from omegaconf import OmegaConf

    from sim.replay import PageSettings, ReplayError, write_page

    wanted = OmegaConf.to_object(settings)
    assert isinstance(wanted, PageSettings)
    if not wanted.enabled or not (folder / "sessions.parquet").exists():
        return None
    try:
        return write_page(folder, wanted, load_agent, shop=shop, table=table, trusted=list(trusted))
    except ReplayError as error:  # a page is no reason to lose a run
        print(f"no session player's page: {error}", file=sys.stderr)
        return None


def finish(
    tracked: Run,
    config: dict[str, Any],
    shop: Shop,
    agent: Any,
    summary: dict[str, Any],
    folder: Path,
    page: Page | None,
) -> None:
    """Results with intervals, figures, the session log, the files, the policy as a model, and the description."""
    import pyarrow.parquet as pq

    from sim.tracking import file_digest
    from sim.tracking.datasets import describe

    step, name = summary["training_steps"], summary["agent"]
    tracked.metrics(report.flat_metrics(summary) | agent_metrics(summary), step)
    tracked.metrics({f"timing/{k}": v for k, v in summary["timing"].items()}, step)
    sessions = folder / "sessions.parquet"
    if sessions.exists():  # evaluate.log=none leaves no log
        parts = sorted(sessions.glob("*.parquet")) if sessions.is_dir() else [sessions]
        digest = hashlib.sha256("".join(map(file_digest, parts)).encode()).hexdigest()
        dataset = describe("sessions", digest, "sessions.parquet", pq.read_schema(parts[0]), summary["rows"])
        tracked.dataset(dataset, "evaluation")
    plot_policies(folder / "policies.png", summary)
    for figure in ("learning_curve.png", "policies.png"):
        tracked.artifact(folder / figure, FIGURES)
    for artifact in ("summary.json", "customers.parquet", "sessions.parquet"):
        if (folder / artifact).exists():
            tracked.artifact(folder / artifact)
    shown = (
        page is not None and page.shareable and config["population"]["gallery"] is None
    )  # of real people nothing leaves
    if page is not None and shown:
        tracked.artifact(page.path)
    tracked.artifact(folder / ".hydra", "config")
    tracked.artifact(folder / "policies", "policies")
    value = summary["policies"][name]["value_per_customer"]
    tracked.model(
        folder / "policies" / name,
        name,
        step=step,
        params={"agent": name, "seed": summary["seed"], "env": summary["env"], "catalog_digest": shop.catalog.digest},
        tags={"value_per_customer": f"{value['mean']:.4f}", "config_hash": config_hash(config)},
        labels=list(shop.catalog.names),
        deterministic=bool(summary["deterministic"]),
        metadata={
            "agent": name,
            "shop_digest": shop.digest,
            "expected_value": "money that the action is expected to earn at once",
        },
        **code_of(config["load_agent"]["_target_"], type(agent)),
    )
    tracked.tags({NOTE_TAG: describe_results(summary, shown)})


def agent_metrics(summary: dict[str, Any]) -> dict[str, float]:
    """The agent's own results under names that all runs share, so that runs stand beside each other in MLflow."""
    own = summary["agent"]
    flat: dict[str, float] = {}
    for suffix, bound in (("", "mean"), ("_low", "low"), ("_high", "high")):
        flat |= {f"evaluate{suffix}/{metric}": v[bound] for metric, v in summary["policies"][own].items()}
        for other in summary["policies"]:
            pairs = summary["paired"].get(f"{own}_minus_{other}", {})
            flat |= {f"paired{suffix}/minus_{other}/{m}": pairs[m][bound] for m in _SHOWN if m in pairs}
    return flat


def _links(first: str, more: Iterable[str] = ()) -> str:
    here = "#/experiments/{experiment_id}/runs/{run_id}/artifacts"
    return "\n".join([first, *more, "", f"[What the metrics mean]({here}/{DICTIONARY})"])


def describe_results(summary: dict[str, Any], with_page: bool) -> str:
    """The run's description in MLflow: every policy with its intervals, best first."""
    ranked = sorted(summary["policies"], key=lambda p: -summary["policies"][p]["value_per_customer"]["mean"])
    head = (
        f"**{summary['agent']}** in `{summary['env']}`, seed {summary['seed']}, {summary['training_steps']:,} interactions, "
        f"evaluated on {summary['customers']:,} customers it never met; ± is half a 95 % interval."
    )
    rows = ["", "| policy | value per customer | push rate | opt-out rate | days |", "|---|---|---|---|---|"]
    for policy in ranked:
        m = summary["policies"][policy]
        cells = [report.pm(m[name], digits) for name, digits in zip(_SHOWN, (2, 3, 3, 0), strict=True)]
        mark = "**" if policy == summary["agent"] else ""
        rows.append(f"| {mark}{policy}{mark} | {' | '.join(cells)} |")
    here = "#/experiments/{experiment_id}/runs/{run_id}/artifacts"
    player = ["", f"[Watch customers: the session player]({here}/replay.html)"] if with_page else []
    return _links(head, rows + player)


def plot_policies(path: Path, summary: dict[str, Any]) -> None:
    """Value per customer of every policy with its 95 % interval, and the paired gap of the agent to each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ranked = sorted(summary["policies"], key=lambda p: summary["policies"][p]["value_per_customer"]["mean"])
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(ranked)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for i, policy in enumerate(ranked):
        value = summary["policies"][policy]["value_per_customer"]
        _interval(left, i, value, "C0")
        pair = summary["paired"].get(f"{summary['agent']}_minus_{policy}", {}).get("value_per_customer")
        if pair is not None:
            _interval(right, i, pair, "C1")
    left.set_yticks(range(len(ranked)), ranked)
    left.set_title("value per customer (money)", loc="left", fontsize=10)
    right.set_title(f"{summary['agent']} minus it, same customers and luck", loc="left", fontsize=10)
    right.axvline(0, color="0.6", linewidth=1)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=8)
    figure.savefig(path, format="png")


def _interval(axes: Any, row: int, v: dict[str, Any], colour: str) -> None:
    axes.plot([v["low"], v["high"]], [row, row], color=colour, linewidth=5, alpha=0.45)
    axes.plot(v["mean"], row, "o", color=colour, markersize=5)
    axes.annotate(f"{v['mean']:+.2f}" if colour == "C1" else f"{v['mean']:.2f}", (v["mean"], row), (0, 6),
                  textcoords="offset points", ha="center", fontsize=7)  # fmt: skip
