"""What the texts of the project point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = [
    path
    for folder in ("agents", "benchmarks", "conf", "docs", "experiments", "perception", "sim")
    for suffix in ("py", "md", "yaml")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
] + [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "Makefile"]


def test_every_page_and_figure_that_a_text_names_exists():
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in TEXTS
        for name in re.findall(r"\bdocs/[\w-]+\.(?:md|png|html)", path.read_text(encoding="utf-8"))
    }
    assert len({name for _, name in named}) > 5
    assert [(text, name) for text, name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("text", ["README.md", "experiments/README.md"])
def test_every_module_that_a_readme_runs_exists(text):
    modules = set(re.findall(r"python -m ((?:sim|perception|experiments|benchmarks)[\w.]*)", (ROOT / text).read_text()))
    assert len(modules) >= 3
    for module in sorted(modules):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
