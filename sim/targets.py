"""What a configuration may call: the one door for every `_target_`.

Hydra's `instantiate` calls whatever a configuration names, with the arguments that it gives.  A configuration may be somebody
else's: it lies in the folder of a run, among the artifacts of a run in MLflow, in a scenario that was passed on.  So a name is
followed here first, and a configuration may call

* a class of `agents` that is an agent, and at each joint of the project's rooms the one function that belongs there (`JOINTS`).
  Not all of our own code: `sim.report.write_text` would write any file, and `sim.run.os.system` begins with our name, too;
* whatever a package defines that the user named in `trusted_targets=[...]`.  A configuration cannot name one for itself.

Nothing of another package is imported on the way.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

OURS = ("agents", "perception", "sim")
JOINTS = {  # setting: what of ours it may call
    "load_agent": "agents.load_agent",
    "population.loader": "perception.gallery.open_gallery",
    "joined.load_agent": "agents.load_agent",
    "joined.perceive": "perception.photo.perceive_photo",
    "joined.forgetting": "perception.forgetting.forgetting.Forgetting",
    "joined.remove_expired": "perception.forgetting.places.remove_expired",
    "joined.tracking_uri": "sim.tracking.uri.default_uri",
}
TARGET = "_target_"


class TargetError(ValueError):
    """A configuration names what it may not call: the message says what, where and what to do."""

    exit_code = 2


def check_targets(where: str, config: Any, trusted: Iterable[str] = ()) -> None:
    """Refuse a configuration in which any name, at any depth, is of a package that may not be called; imports nothing.

    Raises
    ------
    TargetError
        There is no target, or one is of another package.
    """
    plain = _plain(config)
    if TARGET not in plain:
        raise TargetError(f"{where} has no {TARGET}; name the class or function to build it with")
    for place, target in _targets(plain, where):
        _check_package(place, target, trusted)


def built(where: str, config: Any, trusted: Iterable[str] = ()) -> Any:
    """What Hydra's `instantiate` makes of a configuration, after every name in it was followed and found to be allowed.

    Parameters
    ----------
    where : str
        The setting, for messages.
    config : mapping
        With `_target_`; interpolations are resolved once, here, so that what was checked is what is built.
    trusted : names of packages of the user's.

    Raises
    ------
    TargetError
        A name may not be called, or does not exist.
    """
    from hydra.utils import instantiate

    check_targets(where, config, trusted)
    plain = _plain(config)
    for place, target in _targets(plain, where):
        followed(place, target, trusted)
    if any("${" in text for text in _texts(plain)):
        raise TargetError(f"{where} holds ${{...}} that is still to be looked up; write the value itself")
    return instantiate(plain)


def joint(cfg: Any, name: str) -> Any:
    """What a command's configuration puts at one of its `joined` places; errors as of `built`."""
    return built(f"joined.{name}", cfg.joined[name], cfg.get("trusted_targets") or ())


def followed(where: str, target: Any, trusted: Iterable[str] = ()) -> Any:
    """The class or function that a dotted name stands for, where it may be called; errors as of `built`."""
    trusted = tuple(trusted)
    _check_package(where, target, trusted)
    packages = (*OURS, *trusted)
    parts = target.split(".")
    found: Any = importlib.import_module(parts[0])
    for depth, part in enumerate(parts[1:], start=2):
        if part.startswith("_") or not isinstance(found, ModuleType | type):
            raise _not_there(where, target)
        name = ".".join(parts[:depth])
        try:
            found = getattr(found, part)
        except AttributeError:
            if not isinstance(found, ModuleType):
                raise _not_there(where, target) from None
            try:
                found = importlib.import_module(name)
            except ModuleNotFoundError as error:
                if not name.startswith(str(error.name)):
                    raise  # it is there, and lacks something that it imports
                raise _not_there(where, target) from None
        if _package_of(found) not in packages:
            raise TargetError(
                f"{where}.{TARGET}={target} leads to {_home(found)}, which is not trusted; name what your own package defines"
            )
    if isinstance(found, ModuleType) or not callable(found):
        raise TargetError(f"{where}.{TARGET}={target} is neither a class nor a function")
    if _package_of(found) in OURS and not (_home(found) == JOINTS[where] if where in JOINTS else _is_agent(found)):
        raise TargetError(f"{where}.{TARGET}={target} cannot be called there; take {JOINTS.get(where, 'the class of an agent')}")
    return found


def _check_package(where: str, target: Any, trusted: Iterable[str]) -> None:
    if not isinstance(target, str):
        raise TargetError(f"{where}.{TARGET}={target!r} is no name of a class or function")
    package = target.split(".")[0]
    if package not in (*OURS, *trusted):
        raise TargetError(f"{where}.{TARGET}={target} is not trusted; if you wrote it, add trusted_targets=[{package}]")
    if not re.fullmatch(r"\w+(\.\w+)+", target):
        raise _not_there(where, target)


def _not_there(where: str, target: str) -> TargetError:
    return TargetError(f"{where}.{TARGET}={target}: there is no such class or function")


def _is_agent(found: Any) -> bool:
    """Whether it is a class of `agents` that derives from its base (which sim does not import)."""
    return isinstance(found, type) and any(_home(base) == "agents.base.Agent" for base in found.__mro__)


def _home(found: Any) -> str:
    """Where an object is defined, whatever it was reached by."""
    if isinstance(found, ModuleType):
        return found.__name__
    return f"{getattr(found, '__module__', type(found).__module__)}.{getattr(found, '__qualname__', type(found).__qualname__)}"


def _package_of(found: Any) -> str:
    return _home(found).split(".")[0]


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    return dict(plain) if isinstance(plain, Mapping) else {}


def _targets(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Every `_target_` at any depth, with the place it stands at."""
    if isinstance(value, Mapping):
        if TARGET in value:
            yield where, value[TARGET]
        for name, each in value.items():
            yield from _targets(each, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _targets(each, f"{where}[{place}]")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _texts(name)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
