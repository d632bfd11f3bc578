"""Put a run's policy into MLflow's registry under an alias.

python -m sim.register run=latest alias=challenger
mlflow models serve -m models:/push-policy-shop@challenger --env-manager local
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from sim.tracking.errors import TrackingError

USAGE = """\
Put the policy of a run into MLflow's registry under an alias, which moves there from the version that had it.

  python -m sim.register                                the agent of the latest run as @challenger
  python -m sim.register run=FOLDER alias=champion      another run, another alias
  python -m sim.register name=my-policy                 another registered model (default: push-policy-<env>)

Settings (KEY=VALUE): run, alias, name
"""


@dataclasses.dataclass
class RegisterConfig:
    """What the command understands."""

    run: str = "???"
    alias: str = "???"
    name: str | None = None


def run(cfg: Any) -> None:
    """Find the run, register, say how to serve."""
    import re

    from sim.replay.runs import find_run
    from sim.tracking.registry import register, run_id_of
    from sim.tracking.store import MlflowStore
    from sim.tracking.uri import default_uri

    uri = default_uri()
    if re.fullmatch(r"[0-9a-f]{32}", cfg.run):
        run_id, env = cfg.run, None
    else:
        found = find_run(cfg.run, needs=())
        run_id, env = run_id_of(found.folder), found.summary.get("env")
    store = MlflowStore(uri)
    if cfg.name is None and env is None:
        from sim.tracking.registry import model_of

        env = model_of(store, run_id).params.get("env", "shop")
    made = register(store, run_id, cfg.name or f"push-policy-{env}", cfg.alias)
    print(f"{made.name} version {made.version} is @{made.alias}; serve it with")
    print(f"  MLFLOW_TRACKING_URI={uri} MLFLOW_ALLOW_PICKLE_DESERIALIZATION=False \\")
    print(f"    mlflow models serve -m {made.uri} --env-manager local --port 5001")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for wrong input, 1 for a store that does not answer."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if any(a in ("-h", "--help") for a in arguments):
        print(USAGE, end="")
        return 0
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from sim.replay.overrides import quoted_path, setting_error
    from sim.shop.parameters import CONF

    ConfigStore.instance().store(name="register_schema", node=RegisterConfig)
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            run(compose("register", [quoted_path(a, ("run",)) for a in arguments]))
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {setting_error(error, [f.name for f in dataclasses.fields(RegisterConfig)])}", file=sys.stderr)
        return 2
    except TrackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if hasattr(error, "exit_code"):
            print(f"error: {error}", file=sys.stderr)
            return int(error.exit_code)
        print(f"error: MLflow did not take it: {str(error).splitlines()[0][:300]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
