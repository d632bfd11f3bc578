"""Deliver the records that a dead or slow MLflow did not take, as often as one likes: nothing is stored twice.

A run whose process is gone without a word (kill -9, a power cut) ends KILLED here.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

from sim.tracking.alive import is_held
from sim.tracking.errors import TrackingError
from sim.tracking.spool import read_spool, undelivered
from sim.tracking.store import MlflowStore, is_refusal

Counts = dict[str, int]


def sync(folder: Path | str, uri: str) -> Counts:
    """Send what is left in the spools at or below `folder`, and end the runs whose process is gone.

    Returns
    -------
    dict
        `runs` that had something left, `records` delivered, `refused` ones (a file that is gone, for example), and
        `alive`, runs that still go on and are left to themselves.

    Raises
    ------
    TrackingError
        If there is no spool.
    OSError, mlflow.exceptions.MlflowException
        If the store fails; what was delivered until then stays delivered.
    """
    folder = Path(folder)
    spools = (
        [folder] if folder.is_file() else sorted(p for p in folder.rglob("spool*.jsonl") if "latest" not in p.parts)
    )
    if not spools:
        raise TrackingError(f"no spool.jsonl at or below {folder}; name the output folder of a run")
    store: MlflowStore | None = None
    counts = {"runs": 0, "records": 0, "refused": 0, "alive": 0}
    for path in spools:
        if is_held(path):
            counts["alive"] += 1
        elif _is_whole(path):
            continue
        else:
            store = store or MlflowStore(uri)
            deliver(store, path, counts)
    return counts


def _is_whole(path: Path) -> bool:
    """Whether the store has everything of a spool, its end included."""
    kinds = [record["kind"] for record in read_spool(path) if record["kind"] != "delivered"]
    return not undelivered(path)[0] and kinds[-1:] == ["end"]


def deliver(store: MlflowStore, path: Path, counts: Counts | None = None) -> None:
    """Send what is left of one spool, and end its run."""
    counts = {"runs": 0, "records": 0, "refused": 0} if counts is None else counts
    everything = [record for record in read_spool(path) if record["kind"] != "delivered"]
    if not everything or everything[0]["kind"] != "run":
        return
    rest, run_id = undelivered(path)
    run_id = run_id or store.open_run(everything[0], search=True)
    for record in rest:
        try:
            store.send(run_id, [record])
            counts["records"] += 1
        except Exception as error:
            if not is_refusal(error):
                raise
            counts["refused"] += 1
    last = everything[-1]
    if last["kind"] != "end":
        store.end(run_id, "KILLED", last["time"])
        last = {"n": last["n"] + 1, "kind": "end", "time": last["time"], "status": "KILLED"}
        _append(path, last)
    _append(path, {"kind": "delivered", "time": int(time.time() * 1000), "upto": last["n"], "run_id": run_id})
    counts["runs"] += 1


def _append(path: Path, record: dict[str, object]) -> None:
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("\n" + json.dumps(record) + "\n")  # the first line break ends a torn line


def repair(store: MlflowStore, experiment: str | None = None) -> int:
    """End the runs that the store calls RUNNING although this machine, which began them, runs them no more.

    Parameters
    ----------
    experiment : str or None
        Of one experiment, or of all.

    Returns
    -------
    int
        Number of runs ended.
    """
    ended = 0
    for run_id, text in store.running_here(socket.gethostname(), experiment):
        path = Path(text)
        if not text or path.is_file() and is_held(path):
            continue  # a run without a folder leaves no trace of its process
        if path.is_file():
            deliver(store, path)
        else:
            store.end(run_id, "KILLED", int(time.time() * 1000))
        ended += 1
    return ended
