"""What a second pass over a folder costs, as a ratio to the first one, in whole processes.

    python -m benchmarks.perception_cache [pictures=10000] [folder=DIR] [weights=FILE] [executor=auto]

The pictures are rendered customers, each encoded anew with a brightness of its own, so that no two files are equal; `folder` keeps them
for another time.  Four passes of `python -m perception.extract`, each a process of its own with its imports:

    first       nothing cached
    unchanged   no file has changed: the table is written again, no file is opened
    one new     one more picture: every file is read and looked up by its content, one picture perceived
    content     the table of the folder is taken away: every file is read and looked up by its content

Processor seconds of the process and its workers, and the largest resident memory of one of them.  `start` is what a process takes
that finds nothing to do, and belongs to each of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def make_pictures(folder: Path, count: int) -> None:
    """`count` JPEG files, 100 a sub-folder; those that are there stay."""
    from PIL import Image, ImageEnhance
    from tqdm import tqdm

    import perception.personas

    shipped = sorted((Path(perception.personas.__file__).parent / "shipped" / "images").rglob("*.webp"))
    for k in tqdm(range(count), desc="pictures", file=sys.stderr):
        file = folder / f"{k // 100:05d}" / f"{k:07d}.jpg"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.open(shipped[k % len(shipped)]).convert("RGB")
            ImageEnhance.Brightness(picture).enhance(0.9 + 0.2 * k / count).save(file, quality=90, comment=f"{k}")


def measured(words: list[str], bytecode: Path) -> tuple[float, float, float, str]:
    """Processor and wall seconds of `python -m perception.extract` with these words, peak memory in GB, and what it said."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)  # nobody compiles pandas at every start
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        command = [sys.executable, "-m", "perception.extract", *words]
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode not in (0, 2):
            raise SystemExit(said.read())
        return used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss / 2**20, said.read()


def main(arguments: list[str]) -> int:
    given = dict(argument.partition("=")[::2] for argument in arguments)
    count = int(given.get("pictures", 10_000))
    with tempfile.TemporaryDirectory() as temporary:
        own = Path(temporary)
        folder = Path(given["folder"]).absolute() if "folder" in given else own / "pictures"
        make_pictures(folder, count)
        cache = own / "cache"
        words = [f"images={folder}", f"cache={cache}", f"out={own / 'table.parquet'}", "progress=false"]
        words += [f"{name}={given[name]}" for name in ("weights", "executor") if name in given]

        def passed(name: str) -> tuple[str, float, float, float, str]:
            return name, *measured(words, own / "bytecode")

        time.sleep(3)  # files made a moment ago count as changing still
        new = folder / "new.jpg"
        new.unlink(missing_ok=True)
        rows = [passed("first"), passed("unchanged")]
        shutil.copyfile(folder / "00000" / "0000000.jpg", new)
        with new.open("ab") as stream:
            stream.write(b"\0")  # behind the end of the picture: another content
        rows.append(passed("one new"))
        new.unlink()
        shutil.rmtree(cache / "folders", ignore_errors=True)
        rows.append(passed("content"))
        start = measured(["images=/nowhere", "out=none.parquet"], own / "bytecode")[0]
    said = {next((line for line in row[4].splitlines() if " images: " in line), row[4]) for row in rows if row[0] != "one new"}
    if len(said) != 1:
        raise SystemExit(f"the passes differ: {said}")
    print(f"{count:,} pictures: {said.pop()}; start of a process {start:.2f} s of processor time")
    first = rows[0][1]
    print(f"  {'pass':<10} {'processor s':>12} {'wall s':>8} {'us/picture':>11} {'ratio':>8} {'less start':>11} {'peak GB':>8}")
    for name, spent, wall, memory, _ in rows:
        net, row = max(spent - start, 1e-3), f"  {name:<10} {spent:12.2f} {wall:8.1f} {1e6 * spent / count:11.1f}"
        print(f"{row} {first / spent:8.0f} {(first - start) / net:11.0f} {memory:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
