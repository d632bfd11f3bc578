"""Deliver the records that a dead or slow MLflow did not take, as often as one likes: nothing is stored twice."""

from __future__ import annotations

import time
from pathlib import Path

from sim.tracking.errors import TrackingError
from sim.tracking.spool import undelivered
from sim.tracking.store import MlflowStore, is_refusal


def sync(folder: Path | str, uri: str) -> dict[str, int]:
    """Send what is left in the spools at or below `folder`.

    Returns
    -------
    dict
        `runs` that had something left, `records` delivered, and `refused` ones (a file that is gone, for example).

    Raises
    ------
    TrackingError
        If there is no spool.
    OSError, mlflow.exceptions.MlflowException
        If the store fails; what was delivered until then stays delivered.
    """
    folder = Path(folder)
    spools = [folder] if folder.is_file() else sorted(folder.rglob("spool*.jsonl"))
    if not spools:
        raise TrackingError(f"no spool.jsonl at or below {folder}; name the output folder of a run")
    store: MlflowStore | None = None
    counts = {"runs": 0, "records": 0, "refused": 0}
    for path in spools:
        rest, run_id = undelivered(path)
        if not rest or rest[0]["kind"] != "run":
            continue
        store = store or MlflowStore(uri)
        run_id = run_id or store.open_run(rest[0], search=True)
        for record in rest:
            try:
                store.send(run_id, [record])
                counts["records"] += 1
            except Exception as error:
                if not is_refusal(error):
                    raise
                counts["refused"] += 1
        if rest[-1]["kind"] != "end":  # a run that was killed without a chance to say so
            store.client.set_terminated(run_id, "KILLED", end_time=rest[-1]["time"])
        _note(path, rest[-1]["n"], run_id)
        counts["runs"] += 1
    return counts


def _note(path: Path, upto: int, run_id: str) -> None:
    import json

    line = {"kind": "delivered", "time": int(time.time() * 1000), "upto": upto, "run_id": run_id}
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("\n" + json.dumps(line) + "\n")  # the first line break ends a torn line
