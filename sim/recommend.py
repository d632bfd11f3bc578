"""Close the loop for one photograph: what the camera saw, the state features, the label that the policy pushes, and why.

python -m sim.recommend image=PHOTO run=latest

The photograph goes through the run's own perception module and, channel by channel, through the run's camera (a blind camera
stays blind).  What the till knows is empty, as of a customer who is new or not recognised, unless `customer=` and `step=` name a
moment of the run's log whose record shall count.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from sim.replay.errors import ReplayError
from sim.targets import joint

MISSING: Any = "???"
USAGE = """\
Show a photograph to the policy of a run: what the camera saw, the state features, the label pushed, and why.

  python -m sim.recommend image=photo.jpg                        the agent of the latest run
  python -m sim.recommend image=photo.jpg policy=linucb          another policy of the run
  python -m sim.recommend image=photo.jpg customer=128 step=5    with the till's record of that logged moment
  python -m sim.recommend image=photo.jpg gallery=DIR consent=true     recognise your own customers

Settings (KEY=VALUE): image, run, policy, gallery, consent, weights, customer, step, drivers, background, out, trusted_targets
"""
PATHS = ("image", "run", "gallery", "weights", "out")


@dataclasses.dataclass
class RecommendConfig:
    """What the command understands."""

    image: str = MISSING
    run: str = MISSING
    policy: str | None = None
    gallery: str | None = None
    consent: bool = False
    weights: str | None = None
    customer: int | None = None
    step: int = MISSING
    drivers: int = MISSING
    background: int = MISSING
    out: str | None = None
    trusted_targets: list[str] = dataclasses.field(default_factory=list)
    joined: dict[str, Any] = dataclasses.field(default_factory=dict)


def camera_features(seen: dict[str, Any], camera: dict[str, Any]) -> np.ndarray:
    """(11,) as `sim.shop.camera.perceive` writes them: emotion (7), mask, face, known, similarity.

    Parameters
    ----------
    seen : of `perception.photo.perceive_photo`.
    camera : channels of the run; `blind` shows nothing, every other one what was perceived: of a photograph the truth is not
        known, and luck has no part in it.
    """
    from perception.features import EMOTIONS

    out = np.zeros(11)
    face = seen["status"] == "face"
    shows = {part: camera[part] != "blind" for part in ("emotion", "identity", "mask")}
    out[:7] = [seen["emotions"][e] for e in EMOTIONS] if face and shows["emotion"] else 1 / 7
    out[7] = (seen["mask_probability"] or 0.0) if face and shows["mask"] else 0.0
    out[8] = float(face and shows["emotion"])
    if face and shows["identity"] and seen["identity"] is not None:
        out[9], out[10] = 1.0, seen["similarity"] or 0.0
    return out.astype(np.float32)


def state_features(seen: dict[str, Any], camera: dict[str, Any], size: int, record: np.ndarray | None) -> np.ndarray:
    """(O,) float32: the camera's features, and the till's record where it counts."""
    features = camera_features(seen, camera)
    observation = np.zeros(size, np.float32)
    observation[: len(features)] = features
    if record is not None:
        observation[len(features) :] = record[len(features) :]
        if camera["identity"] != "blind":  # a record is only read of somebody whom the camera recognised
            observation[9], observation[10] = record[9], record[10]
    return observation


def recommend(cfg: Any, perceive: Any, load_agent: Any, tracking_uri: Any) -> dict[str, Any]:
    """Everything that the command tells, as plain values.

    Raises
    ------
    ReplayError
        No such run, policy or moment, or the policy cannot be loaded.
    """
    from perception.features import EMOTIONS
    from sim.replay.log import open_log
    from sim.replay.policies import load_policy
    from sim.replay.runs import find_run
    from sim.shop.observation import feature_names, observation_size

    run = find_run(cfg.run, tracking_uri)
    name = cfg.policy or run.agent
    if name not in run.summary["policies"]:
        raise ReplayError(
            f"policy={name}: run {run.name} has no such policy; it has {', '.join(run.summary['policies'])}"
        )
    loaded = load_policy(run, name, load_agent, list(cfg.trusted_targets))
    if loaded.policy is None:
        raise ReplayError(f"policy={name} of run {run.name} cannot be asked: {loaded.reason}")
    policy, log = loaded.policy, open_log(run.sessions)
    labels = list(log.labels)
    if policy.observation_size < observation_size(len(labels)) or "emotion" not in policy.layout:
        raise ReplayError(
            f"run {run.name} has a shop without a camera (env={run.summary.get('env')}); a photograph says nothing there"
        )
    seen = perceive(cfg.image, cfg.gallery, cfg.consent, cfg.weights)
    if seen["status"] == "unusable":
        raise ReplayError(f"image={cfg.image}: cannot be used ({seen['reason']}); give another photograph")
    notes = list(seen.pop("notes"))
    background, record, allowed = _background(cfg, run, name, log, notes)
    observation = state_features(seen, run.config["camera"], policy.observation_size, record)
    mask = np.ones(len(labels) + 1, bool) if allowed is None else allowed
    probabilities = policy.action_probabilities(observation[None], mask[None])[0]
    action = int(probabilities.argmax())
    expected = policy.expected_reward(observation[None]) if hasattr(policy, "expected_reward") else None
    names = feature_names(log.labels, EMOTIONS)
    names += [f"feature {i}" for i in range(len(names), len(observation))]
    return {
        "run": run.name, "policy": name, "image": str(cfg.image), "camera": dict(run.config["camera"]), "seen": seen,
        "features": dict(zip(names, map(float, observation), strict=True)),
        "pushed": None if action == 0 else labels[action - 1],
        "probabilities": dict(zip(["hold back", *labels], map(float, probabilities), strict=True)),
        "allowed": [bool(x) for x in mask],
        "expected_value": None if expected is None else float(expected[0, action]),
        "why": _why(policy, background, observation, mask, action, cfg.drivers),
        "notes": notes,
    }  # fmt: skip


def _background(
    cfg: Any, run: Any, name: str, log: Any, notes: list[str]
) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
    """Opportunities that say what is usual, and the observation and the allowed actions of the moment asked for."""
    from sim.replay.log import read_lines
    from sim.replay.relive import relive
    from sim.replay.shops import build_run_shop

    ids, _ = log.customers(name)
    notes += log.notes()
    chosen = ids[: cfg.background]
    if cfg.customer is not None:
        if cfg.customer not in ids:
            raise ReplayError(
                f"customer={cfg.customer} is not in the log; it holds customers {ids.min()} to {ids.max()}"
            )
        chosen = np.union1d(chosen, [cfg.customer])
    try:
        shop, _ = build_run_shop(run, list(cfg.trusted_targets))
        lines = read_lines(log, name, chosen)
        relived = relive(shop, lines, run.seed)
    except ReplayError as error:
        if cfg.customer is not None:
            raise
        notes.append(f"no reasons are given: {error}")
        return None, None, None
    if cfg.customer is None:
        return (relived, lines), None, None
    mine = np.flatnonzero(lines.at["customer"] == cfg.customer)
    if not 0 <= cfg.step < len(mine):
        raise ReplayError(
            f"step={cfg.step} is out of range; customer {cfg.customer} has opportunities 0 to {len(mine) - 1}"
        )
    row = mine[cfg.step]
    return (relived, lines), relived.observation[row], relived.allowed[row]


def _why(
    policy: Any, background: Any, observation: np.ndarray, mask: np.ndarray, action: int, number: int
) -> dict[str, Any] | None:
    """The strongest drivers of this decision, against what is usual (`sim.replay.explain`)."""
    if background is None:
        return None
    from sim.replay.explain import explain

    relived, lines = background
    with_photo = dataclasses.replace(
        relived, observation=np.vstack([relived.observation, observation]), allowed=np.vstack([relived.allowed, mask])
    )
    drivers = explain(policy, with_photo, np.append(lines.at["requested"], action), policy.layout, number)
    rows = [
        {"feature": drivers.names[g], "weight": float(w), "z": float(z) if np.isfinite(z) else None}
        for g, w, z in zip(drivers.group[-1], drivers.weight[-1], drivers.z[-1], strict=True)
        if w != 0
    ]
    return {"method": drivers.method, "unit": drivers.unit, "drivers": rows}


def told(answer: dict[str, Any]) -> str:
    """The answer in words and bars."""
    seen, lines = (
        answer["seen"],
        [f"{answer['image']}, shown to {answer['policy']} of run {answer['run']}", "", "what the camera saw"],
    )
    if seen["status"] == "no_face":
        lines.append("  no face: the policy decides without emotion, mask or identity")
    else:
        width = max(map(len, seen["emotions"]))
        lines += [
            f"  {name:{width}}  {_bar(p)} {p:.2f}" for name, p in sorted(seen["emotions"].items(), key=lambda x: -x[1])
        ]
        mask, who = seen["mask_probability"], seen["identity"]
        lines.append(f"  mask      {'not known' if mask is None else f'{_bar(mask)} {mask:.2f}'}")
        known = (
            ""
            if seen["similarity"] is None
            else f" (similarity {seen['similarity']:.2f}, {seen['threshold']:.2f} needed)"
        )
        lines.append(f"  identity  {who or 'nobody in the gallery'}{known}")
    blind = [part for part in ("emotion", "identity", "mask") if answer["camera"].get(part) == "blind"]
    lines += [f"  the run's camera is blind to: {', '.join(blind)}"] if blind else []
    shown = {name: x for name, x in answer["features"].items() if x != 0}
    lines += ["", f"state features ({len(shown)} of {len(answer['features'])} are not zero)"]
    lines += [f"  {name:28} {x:+.3f}" for name, x in shown.items()]
    lines += ["", f"pushed: {answer['pushed'] or 'nothing (hold back)'}"]
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    lines += [f"  {name:28} {_bar(p)} {p:.3f}" for name, p in ranked[:6] if p > 0]
    if answer["expected_value"] is not None:
        lines.append(f"  expected to earn at once: {answer['expected_value']:.2f}")
    if answer["why"] is not None:
        why = answer["why"]
        unit = (
            "money against the next best action"
            if why["unit"] == "money"
            else "nats: log-probability it would lose were this as usual"
        )
        lines += ["", f"why ({unit})"]
        lines += [f"  {d['feature']:36} {d['weight']:+.3f}" for d in why["drivers"]]
        lines += ["  nothing in these features speaks for or against it"] if not why["drivers"] else []
    return "\n".join(lines + [f"note: {note}" for note in answer["notes"]])


def _bar(p: float, width: int = 20) -> str:
    return "█" * round(p * width) + "·" * (width - round(p * width))


def run(cfg: Any) -> None:
    """Join the rooms, ask, tell."""
    from pathlib import Path

    from sim.report import dump_json

    if not 1 <= cfg.drivers <= 16 or not 2 <= cfg.background <= 10_000:
        raise ReplayError("drivers must lie between 1 and 16, background between 2 and 10000")
    answer = recommend(
        cfg, joint(cfg, "perceive"), joint(cfg, "load_agent"), lambda: str(joint(cfg, "tracking_uri"))
    )
    if cfg.out:
        dump_json(Path(cfg.out), answer)
    print(told(answer))


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for wrong input, 1 for surroundings that fail."""
    from omegaconf import OmegaConf

    from sim.replay.overrides import composed_command

    def work(cfg: Any) -> None:
        if OmegaConf.is_missing(cfg, "image"):
            raise ReplayError("image= is missing; give a photograph, e.g. image=photo.jpg")
        run(cfg)

    return composed_command("recommend", RecommendConfig, USAGE, PATHS, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
