"""Write, or serve, the session player's page of a run.

python -m sim.replay run=latest
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

USAGE = """\
Write the session player's page of a run: one HTML file to open, to send, or to look at in MLflow.

  python -m sim.replay                                  the latest run: its agent beside its best other policy
  python -m sim.replay run=outputs/2026-11-25/...       another run: its folder, or its MLflow id
  python -m sim.replay policy_a=linucb policy_b=random  which policies
  python -m sim.replay run_b=FOLDER                     beside the agent of another run on the same customers
  python -m sim.replay customer=128                     open it at this customer
  python -m sim.replay serve=true                       with every what-if, lived when asked for (127.0.0.1 only)

Settings (KEY=VALUE): run, run_b, policy_a, policy_b, customer, out, open, serve, port, trusted_targets,
  replay.customers, replay.what_if_customers, replay.megabytes, replay.drivers, replay.picture_pixels, replay.show_faces
"""

_PATHS = ("run", "run_b", "out")


def _compose(arguments: list[str]) -> Any:
    """The configuration with the arguments as overrides."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore

    from sim.replay.overrides import quoted_path
    from sim.replay.settings import ReplayConfig
    from sim.shop.parameters import CONF

    arguments = [quoted_path(argument, _PATHS) for argument in arguments]
    ConfigStore.instance().store(name="replay_schema", node=ReplayConfig)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("replay", arguments)


def _settings() -> list[str]:
    import dataclasses

    from sim.replay.settings import PageSettings, ReplayConfig

    return [f.name for f in dataclasses.fields(ReplayConfig)] + [f"replay.{f.name}" for f in dataclasses.fields(PageSettings)]


def run(cfg: Any) -> None:
    """Find the run, prepare its sessions, write or serve the page."""
    from omegaconf import OmegaConf

    from sim.replay import ReplayError, find_run, write_page
    from sim.replay.settings import PageSettings, check_settings
    from sim.targets import joint

    settings = OmegaConf.to_object(cfg.replay)
    assert isinstance(settings, PageSettings)
    check_settings(settings)
    if not 0 <= cfg.port <= 65535:
        raise ReplayError(f"port={cfg.port} is out of range; allowed is 0 to 65535")

    def tracking_uri() -> str:
        return str(joint(cfg, "tracking_uri"))

    chosen = find_run(cfg.run, tracking_uri)
    run_b = None if cfg.run_b is None else find_run(cfg.run_b, tracking_uri)
    load_agent = joint(cfg, "load_agent")
    common: dict[str, Any] = {
        "run_b": run_b, "policy_a": cfg.policy_a, "policy_b": cfg.policy_b, "customer": cfg.customer,
        "trusted": list(cfg.trusted_targets),
    }  # fmt: skip
    if cfg.serve:
        _serve(chosen, settings, load_agent, cfg.port, cfg.open, common)
        return
    page = write_page(chosen, settings, load_agent, out=Path(cfg.out) if cfg.out else None, **common)
    for note in page.notes:
        print(f"note: {note}", file=sys.stderr)
    print(
        f"{page.customers} customers, what-if for {page.what_if_customers} of them, {page.bytes / 1e6:.1f} MB, "
        f"{page.seconds:.0f} s: {os.path.relpath(page.path)}"
    )
    if not page.shareable:
        print("it shows photographs of real people: keep it on this machine", file=sys.stderr)
    if cfg.open:
        _open(page.path.resolve().as_uri())


def _serve(chosen: Any, settings: Any, load_agent: Any, port: int, with_browser: bool, common: dict[str, Any]) -> None:
    from sim.replay.serve import HOST, server
    from sim.replay.session import prepare

    replay = prepare(chosen, settings, load_agent, **common)
    for note in replay.notes:
        print(f"note: {note}", file=sys.stderr)
    with server(replay, settings, port) as listening:
        address = f"http://{HOST}:{listening.server_port}/"
        print(f"{address} answers; Ctrl-C ends it", flush=True)
        if with_browser:
            _open(address)
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            print("ended", file=sys.stderr)


def _open(address: str) -> None:
    """Show the page where there is a screen to show it on; a server in a cellar has none."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    import webbrowser

    webbrowser.open(address)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for wrong input, 1 for surroundings that fail."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if any(a in ("-h", "--help") for a in arguments):
        print(USAGE, end="")
        return 0
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from sim.replay.overrides import guarded

    return guarded(lambda: run(_compose(arguments)), _settings())


if __name__ == "__main__":
    sys.exit(main())
