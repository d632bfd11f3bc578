"""Compare the policies of finished runs, or of runs made now, on the same customers with the same luck.

python -m sim.compare runs=[outputs/latest]
python -m sim.compare agents=[ppo,linucb] seeds=3
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from sim.cli import run_command
from sim.config import validate_compare


def train(agents: list[str], seeds: int, overrides: list[str], folder: Path) -> Path:
    """Run every agent with every seed as one sweep of `sim.run`; returns the folder of the runs.

    Raises
    ------
    CompareError
        A run failed; its own message stands above.
    """
    from sim.compare.errors import CompareError

    runs = folder / "runs"
    command = [
        sys.executable, "-m", "sim.run", "-m", f"agent={','.join(agents)}", f"seed=range({seeds})", "baselines=[random,hold_back]",
        f"hydra.sweep.dir={runs}", *overrides,
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode != 0:
        raise CompareError("a training failed (see above); what is finished lies in " + str(runs))
    return runs


def compare(cfg: Any) -> None:
    """The job, as a table of contents."""
    from hydra.core.hydra_config import HydraConfig

    from sim.compare import answer as answers
    from sim.compare.gather import expand, gather
    from sim.replay.runs import CUSTOMERS, find_run
    from sim.tracking import Tracker, default_uri

    folder = Path(cfg.out) if cfg.out else Path(HydraConfig.get().runtime.output_dir)
    total = answers.total_of(cfg.metric)
    names = expand(cfg.runs)
    if cfg.agents:
        names += expand([str(train(list(cfg.agents), cfg.seeds, list(cfg.overrides), folder))])
    runs = [find_run(name, default_uri, needs=(CUSTOMERS,)) for name in names]
    print(f"comparing {len(runs)} runs", file=sys.stderr)
    data = gather(runs, total)
    found = answers.compare(data, cfg.metric, cfg.reference.low, cfg.reference.high, cfg.seed)
    tracker = Tracker(cfg.tracking.uri, cfg.tracking.experiment, cfg.tracking.enabled)
    tags = {"runs": ",".join(run.name for run in runs)[:400], "best": found.ranked[0]}
    with tracker.run(name=f"compare-{cfg.metric}", folder=folder, tags=tags, params={"metric": cfg.metric}) as tracked:
        paths = answers.write(folder, found, data)
        tracked.metrics({f"compare/{name}/{cfg.metric}": v["mean"] for name, v in found.values.items()})
        for path in paths:
            tracked.artifact(path)
    answers.print_tables(answers.tables(found, data), data.notes)
    print(f"page {folder / 'comparison.html'}; PNGs, comparison.json and comparison.csv (all pairs) beside it")


def main() -> None:
    """Entry point of `python -m sim.compare`."""
    sys.exit(run_command(compare, "compare", check=validate_compare))


if __name__ == "__main__":
    main()
