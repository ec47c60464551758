"""What is installed and handed on has its licence, and says that it is typed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_installed_package_has_its_licence() -> None:
    installed = distribution("metricstream-lab")
    assert installed.metadata["License-Expression"] == "MIT"
    (licence,) = (f for f in installed.files or () if f.name == "LICENSE")
    assert licence.read_text() == (ROOT / "LICENSE").read_text("utf-8")
    assert "The MetricStream lab" in licence.read_text()


@pytest.mark.parametrize("package", ["servers", "harness"])
def test_the_installed_package_says_that_it_is_typed(package: str) -> None:
    """Without `py.typed` a type checker takes everything that is imported from it for Any."""
    assert files(package).joinpath("py.typed").is_file()


def test_the_source_distribution_has_its_licence(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    assert {"LICENSE", "servers/py.typed", "harness/py.typed"} <= inside
