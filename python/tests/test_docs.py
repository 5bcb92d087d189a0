"""The examples in README.md and in docstrings work."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
MODULES = ["", ".client", ".lock", ".lease", "._distributed"]
MODULES += [".aio", ".aio.client", ".aio.lock", ".aio.lease"]

pytestmark = pytest.mark.usefixtures("url")


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module: str) -> None:
    outcome = doctest.testmod(
        importlib.import_module(f"fencelock{module}"), optionflags=doctest.ELLIPSIS
    )
    assert outcome.attempted > 0
    assert outcome.failed == 0


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.splitlines()[0])
def test_examples_in_the_readme(block: str) -> None:
    exec(compile(block, str(README), "exec"), {"__name__": "__main__"})


def test_the_readme_has_examples() -> None:
    assert len(blocks()) > 2
