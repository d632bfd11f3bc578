"""Command lines of the form ``key=value``, as in the rest of the house, without any import that costs time.

A command states its settings as :class:`Setting` records; :func:`parse` checks names and types before any work and
:func:`run` turns purposeful errors into one line on stderr and their exit code.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from perception.errors import InputError, PerceptionError

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True)
class Setting:
    """One ``name=value`` of a command.

    Attributes
    ----------
    name : str
    kind : type
        str, int, float or bool.
    help : str
        What it means, for ``--help``.
    default : object
    required : bool
    minimum : float, optional
        Smallest number allowed.
    """

    name: str
    kind: type
    help: str
    default: Any = None
    required: bool = False
    minimum: float | None = None


def parse(arguments: Sequence[str], settings: Sequence[Setting]) -> dict[str, Any]:
    """Read ``name=value`` words.

    Raises
    ------
    InputError
        For an unknown name (with the nearest known one), a value of the wrong type, a name given twice, or one missing.
    """
    known = {setting.name: setting for setting in settings}
    values: dict[str, Any] = {}
    for word in arguments:
        name, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"{word!r} is not of the form name=value; known names: {', '.join(known)}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}=?" if near else f"known names: {', '.join(known)}"
            raise InputError(f"there is no setting {name}=; {hint}")
        if name in values:
            raise InputError(f"{name}= is given twice")
        values[name] = _convert(known[name], text)
    for setting in settings:
        if setting.required and setting.name not in values:
            raise InputError(f"{setting.name}= is missing ({setting.help})")
        values.setdefault(setting.name, setting.default)
    return values


def _convert(setting: Setting, text: str) -> Any:
    if setting.kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise InputError(f"{setting.name}= must be true or false, not {text!r}")
    if setting.kind is str:
        if not text:
            raise InputError(f"{setting.name}= is empty ({setting.help})")
        return text
    try:
        number = setting.kind(text)
    except ValueError:
        noun = "a whole number" if setting.kind is int else "a number"
        raise InputError(f"{setting.name}= must be {noun}, not {text!r}") from None
    if setting.minimum is not None and not number >= setting.minimum:
        raise InputError(f"{setting.name}= must be at least {setting.minimum:g}, not {text}")
    return number


def usage(name: str, purpose: str, settings: Sequence[Setting], example: str) -> str:
    """The text of ``--help``."""
    width = max(len(setting.name) for setting in settings) + 1
    lines = [purpose, "", f"usage: python -m {name} name=value ...", ""]
    for setting in settings:
        if setting.required:
            end = " (required)"
        elif setting.default is None:
            end = ""
        else:
            shown = str(setting.default).lower() if setting.kind is bool else setting.default
            end = f" (default {shown})"
        lines.append(f"  {setting.name + '=':<{width}}  {setting.help}{end}")
    return "\n".join([*lines, "", f"example: {example}"])


def run(name: str, purpose: str, settings: Sequence[Setting], example: str, body: Callable[..., int | None],
        arguments: Sequence[str] | None = None) -> int:
    """Parse, call ``body(**values)`` (a dot in a name becomes an underscore), and give the exit code: 0, an error's own, or 130
    after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if any(word in ("-h", "--help", "help") for word in words):
        print(usage(name, purpose, settings, example))
        return 0
    try:
        return int(body(**{name.replace(".", "_"): value for name, value in parse(words, settings).items()}) or 0)
    except PerceptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted; what was finished is kept in the cache", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: no traceback at exit
        return 1
