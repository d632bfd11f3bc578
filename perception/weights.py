"""FaceNet's weights: where they are found, how they are verified, and what to do when there are none.

Order of search: the argument, the environment variable ``FACENET_WEIGHTS``, the cache folders
(``$XDG_CACHE_HOME/push-simulator/`` and torch hub's checkpoint folder), then facenet-pytorch's own release file, which is
downloaded into torch hub's checkpoint folder where facenet-pytorch itself would look for it.

Verification: a file whose size is known must have the known SHA-256; any other file must be a torch checkpoint with
exactly the parameters and shapes of the 512-d InceptionResnetV1 (a classifier head may come with it and is dropped), all
finite.  Files are read with ``weights_only=True``: nothing in them is executed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

ENVIRONMENT_VARIABLE = "FACENET_WEIGHTS"
NO_WEIGHTS = "none"
"""Value of ``weights`` that asks for detection and emotion only."""

CONVERTED_NAME = "facenet_vggface2.pt"
RELEASE_NAME = "20180402-114759-vggface2.pt"
RELEASE_URL = f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{RELEASE_NAME}"
KNOWN_FILES = {94_306_219: "4963603d4f2744acf6e5b9929177b57301855e0be83d1faea6bf54b799d5d25d"}
"""Size in bytes to SHA-256 of the files that are known bit by bit."""

MIN_BYTES = 90_000_000
"""The network has 23.5 million float32 parameters; nothing smaller can hold them."""

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch files written before version 1.6


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/push-simulator`` (``~/.cache/push-simulator`` where the variable is unset)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base, "push-simulator")


def hub_folder() -> Path:
    """Torch hub's checkpoint folder as facenet-pytorch computes it."""
    base = os.environ.get("XDG_CACHE_HOME", os.path.join("~", ".cache"))
    return Path(os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(base, "torch"))), "checkpoints")


def candidates() -> list[Path]:
    """The files that are looked for when no path is named, best first."""
    hub = hub_folder()
    return [cache_folder() / CONVERTED_NAME, cache_folder() / RELEASE_NAME,
            hub / RELEASE_NAME, hub.parent / "hub" / "checkpoints" / RELEASE_NAME]


def find_weights(path: str | os.PathLike | None = None, *, download: bool = True, check: bool = True) -> Path:
    """Find a FaceNet weights file and check what can be checked without torch (well under two seconds).

    Parameters
    ----------
    path : path, optional
        Named by the user; then nothing else is tried.
    download : bool
        Fetch facenet-pytorch's release file when no file is found.
    check : bool
        False leaves :func:`check_file` to the caller, who may not need the network at all.

    Returns
    -------
    Path

    Raises
    ------
    WeightsError
        If nothing is found, or the file found is damaged or of something else.
    """
    named = str(path) if path is not None else os.environ.get(ENVIRONMENT_VARIABLE) or None
    if named is not None:
        origin = "weights=" if path is not None else f"the environment variable {ENVIRONMENT_VARIABLE}="
        file = Path(named).expanduser()
        if not file.is_file():
            raise WeightsError(f"there is no FaceNet weights file at {origin}{named}; {ways_out()}")
        if check:
            check_file(file)
        return file
    for file in candidates():
        if file.is_file():
            if check:
                check_file(file)
            return file
    if download:
        return _download(hub_folder() / RELEASE_NAME)
    raise WeightsError(f"no FaceNet weights were found; {ways_out()}")


def ways_out() -> str:
    """The three things a user can do, as the end of a sentence."""
    return (f"either name a file with weights=PATH (population.weights=PATH in sim.run) or {ENVIRONMENT_VARIABLE}=PATH, or put "
            f"{RELEASE_NAME} of facenet-pytorch's releases into {cache_folder()}, or go on without identity and mask by "
            f"weights={NO_WEIGHTS} (perception.extract only)")


def check_file(file: Path) -> None:
    """Refuse a file that cannot be an InceptionResnetV1 checkpoint: size, container, and hash where it is known.

    Raises
    ------
    WeightsError
    """
    try:
        size = file.stat().st_size
        if size in KNOWN_FILES:
            if file_digest(file) != KNOWN_FILES[size]:
                raise WeightsError(f"the FaceNet weights {file} are damaged (their SHA-256 is not "
                                   f"{KNOWN_FILES[size][:12]}...); delete the file, then {ways_out()}")
            return
        with file.open("rb") as stream:
            legacy = stream.read(len(_LEGACY_MAGIC)) == _LEGACY_MAGIC
    except OSError as error:
        raise WeightsError(f"the FaceNet weights {file} cannot be read ({error.strerror}); {ways_out()}") from error
    if size < MIN_BYTES:
        raise WeightsError(f"the FaceNet weights {file} are incomplete ({size} bytes; the network alone takes "
                           f"{MIN_BYTES}); delete the file, then {ways_out()}")
    if not legacy and not zipfile.is_zipfile(file):
        raise WeightsError(f"{file} is no torch checkpoint, or a cut one; delete the file, then {ways_out()}")


def file_digest(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_facenet(file: Path) -> nn.Module:
    """Build InceptionResnetV1 with the weights of a file, in evaluation mode on the CPU.

    Raises
    ------
    WeightsError
        If the file does not hold exactly the parameters of the 512-d network, or values that are not finite.
    """
    import torch
    from facenet_pytorch import InceptionResnetV1

    check_file(file)
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive raises RuntimeError, UnpicklingError, EOFError, OSError, ...
        raise WeightsError(f"the FaceNet weights {file} cannot be loaded safely ({str(error).splitlines()[0][:100]}); "
                           f"{ways_out()}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{file} holds no table of named tensors; {ways_out()}")
    state = {name: value for name, value in state.items() if not name.startswith("logits.")}
    network = InceptionResnetV1(pretrained=None, classify=False)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:160]
        raise WeightsError(f"{file} is of another network than the 512-d InceptionResnetV1 ({detail}); "
                           f"{ways_out()}") from None
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise WeightsError(f"the FaceNet weights {file} hold values that are not finite; {ways_out()}")
    return network.eval().requires_grad_(False)


def _open_within(url: str, seconds: float) -> Any:
    """Open a URL, or raise OSError once ``seconds`` have gone (name look-ups ignore socket time-outs, hence a thread)."""
    import threading
    import urllib.request

    replies: list[Any] = []

    def open_it() -> None:
        try:
            replies.append(urllib.request.urlopen(url, timeout=10.0))
        except (OSError, ValueError) as error:
            replies.append(error)

    thread = threading.Thread(target=open_it, daemon=True)
    thread.start()
    thread.join(seconds)
    if not replies:
        raise OSError("no answer")
    if isinstance(replies[0], Exception):
        raise OSError(str(replies[0]))
    return replies[0]


def _download(target: Path) -> Path:
    """Fetch the release file of facenet-pytorch; give up on a silent network within two seconds."""
    temporary = None
    try:
        with _open_within(RELEASE_URL, 1.2) as reply:
            from tqdm import tqdm

            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            total = int(reply.headers.get("Content-Length") or 0)
            with os.fdopen(handle, "wb") as file, tqdm(total=total, unit="B", unit_scale=True, desc=target.name) as bar:
                while chunk := reply.read(1 << 20):
                    file.write(chunk)
                    bar.update(len(chunk))
                file.flush()
                os.fsync(file.fileno())
        check_file(Path(temporary))
        os.replace(temporary, target)
    except (OSError, ValueError, WeightsError) as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise WeightsError("no FaceNet weights were found and facenet-pytorch's release file could not be downloaded; "
                           f"{ways_out()}") from error
    return target
