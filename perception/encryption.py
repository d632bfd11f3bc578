"""Embeddings at rest: AES-256-GCM [1]_ with one key per user, and an expiry that cannot be moved.

The key is 32 random bytes, written in base64: the environment variable ``PERCEPTION_KEY``, else the file that
``PERCEPTION_KEY_FILE`` names, else ``$XDG_DATA_HOME/push-simulator/perception.key`` (``~/.local/share`` where the variable
is unset), which is made at first need, readable by its owner only, and lies beside no data.  ``python -m perception.key``
shows and makes it.

Every embedding gets its own random 96-bit nonce.  What it belongs to (table, image, face, expiry) is authenticated with
it, so an embedding that was moved to another row, or given a longer life, does not open.  Random nonces are safe for 2^32
messages of one key (NIST SP 800-38D, section 8.3): four billion faces.

References
----------
.. [1] M. Dworkin, "Recommendation for Block Cipher Modes of Operation: Galois/Counter Mode (GCM) and GMAC", NIST SP
   800-38D, 2007; the implementation is that of the ``cryptography`` package.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perception.errors import InputError, KeyUnavailableError

KEY_VARIABLE, KEY_FILE_VARIABLE = "PERCEPTION_KEY", "PERCEPTION_KEY_FILE"
KEY_FILE = "perception.key"
KEY_BYTES, NONCE_BYTES = 32, 12
CIPHER = "AES-256-GCM"
DEFAULT_KEEP_DAYS = 365
"""Days that embeddings and recognised tables are kept unless ``keep_days=`` says otherwise; 0 keeps them until removed."""


def data_folder() -> Path:
    """``$XDG_DATA_HOME/push-simulator``: the key, the list of what was stored (:mod:`perception.stored`), journals."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return Path(base, "push-simulator")


def key_file() -> Path:
    """Where the key lies when ``PERCEPTION_KEY`` does not hold it."""
    named = os.environ.get(KEY_FILE_VARIABLE)
    return Path(named).expanduser() if named else data_folder() / KEY_FILE


@dataclass(frozen=True)
class Key:
    """A key, and what it does.

    Attributes
    ----------
    secret : bytes, 32
    source : str
        Where it was found, for messages.
    """

    secret: bytes = field(repr=False)
    source: str

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that tell keys apart and betray nothing of them."""
        return hashlib.sha256(b"perception key id\0" + self.secret).hexdigest()[:8]

    def seal(self, plain: bytes, context: str) -> bytes:
        """Nonce, ciphertext and tag; ``context`` must be given again to open it."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed.

        Raises
        ------
        ValueError
            Another key or context, or bytes that were changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self.secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise ValueError("another key, another place, or changed bytes") from None


def find_key(make: bool = False) -> Key:
    """The user's key.

    Parameters
    ----------
    make : bool
        Make the key file where there is no key at all; a note on stderr says so.

    Raises
    ------
    KeyUnavailableError
        There is none (or none can be made), or what is there is no key.
    """
    text = os.environ.get(KEY_VARIABLE, "").strip()
    if text:
        return Key(_decoded(text, f"the environment variable {KEY_VARIABLE}"), KEY_VARIABLE)
    file = key_file()
    if not file.is_file():
        if not make:
            raise KeyUnavailableError(f"the embeddings are encrypted and no key was found at {file}; name it with {KEY_FILE_VARIABLE}=FILE "
                                      f"or {KEY_VARIABLE}=KEY")
        return make_key(file)
    try:
        return Key(_decoded(file.read_text(encoding="ascii", errors="replace").strip(), f"the key file {file}"), str(file))
    except OSError as error:
        raise KeyUnavailableError(f"the key file {file} cannot be read ({error.strerror})") from error


def existing_key() -> Key | None:
    """The user's key, None where there is none yet.

    Raises
    ------
    KeyUnavailableError
        What is there is no key.
    """
    return find_key() if os.environ.get(KEY_VARIABLE, "").strip() or key_file().is_file() else None


def make_key(file: Path) -> Key:
    """Write a new key to a file for its owner only; one that another process made first is taken.

    Raises
    ------
    KeyUnavailableError
        The folder cannot be written.
    """
    import sys

    secret = os.urandom(KEY_BYTES)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(base64.b64encode(secret) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temporary, file)  # unlike a rename it never replaces a key
        finally:
            temporary.unlink()
    except FileExistsError:
        return find_key()
    except OSError as error:
        raise KeyUnavailableError(f"no key to encrypt embeddings with was found, and none can be made at {file} ({error.strerror}); set "
                                  f"{KEY_VARIABLE}=KEY or {KEY_FILE_VARIABLE}=FILE, or keep them in plain by encrypt=false") from error
    print(f"a new key was written to {file}: who has it can read the embeddings, without it they are lost", file=sys.stderr)
    return Key(secret, str(file))


def _decoded(text: str, where: str) -> bytes:
    try:
        secret = base64.b64decode(text, altchars=b"-_" if set(text) & set("-_") else None, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KeyUnavailableError(f"{where} is no key: {KEY_BYTES} random bytes in base64 are needed (python -m perception.key makes one)")
    return secret


def expiry(keep_days: int) -> str | None:
    """The end of a life that begins now, as ISO 8601 in UTC; None for 0 days: until removed.

    Raises
    ------
    InputError
        More days than a calendar has.
    """
    if keep_days == 0:
        return None
    try:
        return (datetime.now(UTC) + timedelta(days=keep_days)).isoformat(timespec="seconds")
    except OverflowError:
        raise InputError(f"keep_days={keep_days} lies beyond the calendar; 0 keeps the data until they are removed") from None


def expired(expires: str | None) -> bool:
    """Whether a moment of :func:`expiry` has passed; what is no moment counts as passed."""
    if expires is None:
        return False
    try:
        return datetime.fromisoformat(expires) <= datetime.now(UTC)
    except (TypeError, ValueError):
        return True
