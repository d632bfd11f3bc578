"""Are serial, process and ray equal to the last bit, and what do two workers bring?

    python -m benchmarks.executors [sweep=12] [images=500] [ways=serial,process:1,process:2,ray:2]

A sweep of tiny runs (agents x seeds, everything but training length as in `python -m sim.run`), and the extraction of rendered
customers' pictures through all networks (FaceNet where `FACENET_WEIGHTS` names its weights), once with every executor, each in a
process of its own with no cache, embeddings in plain (no two ciphertexts are equal).  Digests are over every file that decides a
result: of a run the intervals of its summary, the session log, customers and policies; of an extraction every column.  `sweep=0` or
`images=0` leaves one out.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("serial", "process:1", "process:2", "ray:2")
AGENTS = ("random", "linucb", "popularity")


def words(way: str) -> list[str]:
    """`process:2` as settings."""
    name, _, workers = way.partition(":")
    return [f"executor={name}", *([f"executor.workers={workers}"] if workers else [])]


def command(module: str, arguments: list[str], folder: Path) -> tuple[float, float]:
    """Run a module to its good end; wall seconds and processor seconds (of it and its workers, where they are its children)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def digest_of_run(run: Path) -> str:
    """Everything that a run found, without times, speeds and versions."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    found = hashlib.sha256(json.dumps([summary[key] for key in ("policies", "paired", "curve", "digests")]).encode())
    policies = sorted((run / "policies").rglob("*.safetensors"))  # what they learned; agent.json also notes how fast
    for path in (run / "sessions.parquet", run / "customers.parquet", *policies):
        found.update(path.read_bytes())
    return found.hexdigest()


def sweep(runs: int, way: str) -> tuple[dict[str, str], float, float]:
    """Digest of every run of a sweep of `runs` (a multiple of 3), wall and processor seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = [
            "-m", f"agent={','.join(AGENTS)}", f"seed=range({runs // len(AGENTS)})", "steps=2000", "baselines=[hold_back]",
            "evaluate.customers=100", "tune.customers=20", "evaluate.oracles=[]", "tracking=none", "replay.enabled=false",
            "hydra.sweep.dir=sweep", *words(way),
        ]  # fmt: skip
        spent = command("sim.run", arguments, folder)
        return {path.name: digest_of_run(path) for path in sorted((folder / "sweep").iterdir()) if path.is_dir()}, *spent


def extraction(images: int, way: str) -> tuple[dict[str, str], float, float]:
    """Digest of every column of the feature table of `images` pictures, wall and processor seconds."""
    import pandas as pd

    from perception.image_io import find_images

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, files = find_images(ROOT / "perception" / "personas" / "shipped")
        chosen = files[:: max(1, len(files) // images)][:images]
        (folder / "pictures").mkdir()
        for i, file in enumerate(chosen):  # not beside their labels, which would make them a gallery
            (folder / "pictures" / f"{i:05d}{file.suffix}").write_bytes(file.read_bytes())
        weights = [] if os.environ.get("FACENET_WEIGHTS") else ["weights=none"]
        kept = ["consent=true", "encrypt=false"]
        arguments = ["images=pictures", "out=f.parquet", "cache=none", *kept, "progress=false", *weights, *words(way)]
        spent = command("perception.extract", arguments, folder)
        table = pd.read_parquet(folder / "f.parquet")
        assert table["image"].nunique() == len(chosen), "each file once"
        found = {}
        for column in table:
            values = [v.tobytes() if hasattr(v, "tobytes") and getattr(v, "ndim", 0) else repr(v).encode() for v in table[column]]
            found[str(column)] = hashlib.sha256(b"\0".join(values)).hexdigest()
        return found, *spent


def main(arguments: list[str]) -> None:
    """Print both tables; ends with an error where two ways differ."""
    given = dict(word.split("=") for word in arguments)
    ways = given.get("ways", ",".join(WAYS)).split(",")
    for what, size, job in (("sweep", int(given.get("sweep", 12)), sweep), ("images", int(given.get("images", 500)), extraction)):
        if not size:
            continue
        print(f"{what}: {size}\n  {'executor':12} {'wall s':>8} {'processor s':>12} {'per s':>8}  equal to {ways[0]}", flush=True)
        first: dict[str, str] = {}
        for way in ways:
            found, wall, processor = job(size, way)
            first = first or found
            same = sum(found[name] == first[name] for name in first)
            print(f"  {way:12} {wall:8.1f} {processor:12.1f} {size / wall:8.2f}  {same} of {len(first)}", flush=True)
            if found != first:
                raise SystemExit(f"{way} differs from {ways[0]} in {[name for name in first if found.get(name) != first[name]]}")


if __name__ == "__main__":
    main(sys.argv[1:])
