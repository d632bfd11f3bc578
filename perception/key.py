"""The key of encrypted embeddings: where it is, or a new one.

``python -m perception.key`` makes the key file where there is none, and says where the key is and its id; the key itself
is never printed.  A copy of the file is a copy of the key.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from perception.command import run
from perception.encryption import KEY_FILE_VARIABLE, KEY_VARIABLE, find_key

PURPOSE = f"""\
Show where the key of encrypted embeddings is, and make it where there is none.

It is looked for in {KEY_VARIABLE} (the key, base64), in the file {KEY_FILE_VARIABLE} names, in the user's data folder."""


def show() -> int:
    """Body of the command.

    Raises
    ------
    KeyUnavailableError
    """
    key = find_key(make=True)
    print(f"key {key.id} from {key.source}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.key", PURPOSE, (), "python -m perception.key", show, arguments)


if __name__ == "__main__":
    sys.exit(main())
