"""Find a run: its folder, its MLflow id, or `latest`.

A run's folder holds `summary.json`, `sessions.parquet` (a file, or a folder of parts), `.hydra/config.yaml` and
`policies/<name>`; among the artifacts of an MLflow run the same configuration lies under `config/`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim.replay.errors import ReplayError

SESSIONS, SUMMARY, POLICIES = "sessions.parquet", "summary.json", "policies"
CUSTOMERS = "customers.parquet"
_ALWAYS = (SUMMARY, "config", POLICIES)
_LACKING = {
    SESSIONS: "so there is no session to show; the run may not have finished, or was told to log none (evaluate.log=none)",
    CUSTOMERS: "so nobody's totals are known; it did not finish, or an older version made it: run it again",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A finished run on disk: `summary` as `sim.run` wrote it, `config` resolved, plain dictionaries both."""

    folder: Path
    summary: dict[str, Any]
    config: dict[str, Any]

    @property
    def sessions(self) -> Path:
        return self.folder / SESSIONS

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def agent(self) -> str:
        return str(self.summary["agent"])

    @property
    def seed(self) -> int:
        """Of the customers of the evaluation."""
        return int(self.summary["evaluation_seed"])

    @property
    def real_gallery(self) -> bool:
        """Whether the faces are photographs of the user's, which are shown to nobody unless asked for."""
        return (self.config.get("population") or {}).get("gallery") is not None


def find_run(
    text: str, tracking_uri: Callable[[], str] | None = None, outputs: Path | None = None, needs: tuple[str, ...] = (SESSIONS,)
) -> Run:
    """The run that `text` names.

    Parameters
    ----------
    text : a folder, the id of an MLflow run, or `latest`.
    tracking_uri : MLflow's address, asked for only where the id is not of a run in `outputs`.
    outputs : folder of all runs; `outputs` in the working directory unless given.
    needs : what it must have written, of `SESSIONS` and `CUSTOMERS`; only that is fetched from MLflow, beside its settings and policies.

    Raises
    ------
    ReplayError
        There is no such run, or it lacks what is needed.
    """
    outputs = Path("outputs") if outputs is None else outputs
    if text == "latest":
        folder = outputs / "latest"
        if not folder.exists():
            raise ReplayError(
                f"run=latest: {outputs}/ holds no finished run; make one with: python -m sim.run agent=ppo"
            )
        return read_run(folder.resolve(), needs)
    if not text:
        raise ReplayError("run= is empty; give a folder, an MLflow run id, or latest")
    folder = Path(text).expanduser()
    if folder.name in (SESSIONS, SUMMARY):
        folder = folder.parent
    if folder.is_dir():
        return read_run(folder, needs)
    if re.fullmatch(r"[0-9a-f]{32}", text):
        local = local_run(text, outputs)
        return read_run(local if local else _downloaded(text, tracking_uri, needs), needs)
    raise ReplayError(f"run={text}: no such folder, and no MLflow run id (32 hexadecimal digits); try run=latest")


def read_run(folder: Path, needs: tuple[str, ...] = (SESSIONS,)) -> Run:
    """The run in a folder; see `find_run` for what it needs and for errors."""
    for name in needs:
        if not (folder / name).exists():
            raise ReplayError(f"run={folder}: holds no {name}, {_LACKING[name]}")
    config = next((folder / c / "config.yaml" for c in (".hydra", "config") if (folder / c).is_dir()), None)
    if config is None or not config.is_file():
        raise ReplayError(
            f"run={folder}: holds no .hydra/config.yaml, so its shop is not known; give a run's whole folder"
        )
    return Run(folder, _summary(folder / SUMMARY), _config(config))


def _summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        lacking = [key for key in ("agent", "evaluation_seed", "policies") if key not in summary]
    except (OSError, ValueError, TypeError) as error:
        raise ReplayError(f"{path} cannot be read ({error}); did the run finish?") from None
    if lacking:
        raise ReplayError(f"{path} is no summary of a run: it lacks {', '.join(lacking)}")
    return summary


def _config(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        plain = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except Exception as error:  # YAML and interpolation errors share no base class
        raise ReplayError(f"{path} cannot be read ({str(error).splitlines()[0]})") from None
    if not isinstance(plain, dict):
        raise ReplayError(f"{path} is no configuration of a run")
    return plain  # type: ignore[return-value]


def local_run(run_id: str, outputs: Path) -> Path | None:
    """The folder whose spool says that it is this MLflow run; asks no server and loads no mlflow."""
    needle = f'"{run_id}"'.encode()
    for spool in sorted(outputs.glob("**/spool*.jsonl")):
        if "latest" not in spool.parts and needle in spool.read_bytes():
            return spool.parent
    return None


def _downloaded(run_id: str, tracking_uri: Callable[[], str] | None, needs: tuple[str, ...]) -> Path:
    """A private folder with what is needed of an MLflow run's artifacts."""
    if tracking_uri is None:
        raise ReplayError(f"run={run_id}: no run in outputs/ has this MLflow id")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    uri = tracking_uri()
    client, folder = MlflowClient(tracking_uri=uri), Path(tempfile.mkdtemp(prefix="replay-"))
    try:
        client.get_run(run_id)
        there = {artifact.path for artifact in client.list_artifacts(run_id)}
        for name in (*_ALWAYS, *needs):
            if name in there:
                client.download_artifacts(run_id, name, str(folder))
    except (MlflowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ReplayError(f"run={run_id}: MLflow has no such run that can be read ({reason})") from None
    return folder
