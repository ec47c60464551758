"""`labrun doctor` lists the interpreters that the servers could run under."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import LabError
from harness.targets.interpreter import examine_python, interpreters

DOCTOR = (sys.executable, "-P", "-m", "harness.cli", "doctor", "--duration", "0", "--rps", "100")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Someone's home with a Python without packages by pyenv, whose shims are on the path and would
    start another, and with one of uv's."""
    home = tmp_path_factory.mktemp("home")
    venv.create(home / ".pyenv" / "versions" / "3.99.1", with_pip=False, symlinks=True)
    venv.create(home / ".local" / "share" / "uv" / "python" / "cpython-3.98", with_pip=False)
    shims = home / ".pyenv" / "shims"
    shims.mkdir()
    (shims / "python3").write_text("#!/bin/sh\necho 'no version is chosen' >&2; exit 127\n")
    (shims / "python3").chmod(0o755)
    (shims / "python3.99").symlink_to("python3")
    programs = home / ".pyenv" / "versions" / "3.99.1" / "bin"
    for program in programs.glob("python*"):
        program.unlink()
    (programs / "python3.99").symlink_to(Path(sys.executable).resolve())
    return home


def environment(home: Path) -> dict[str, str]:
    path = f"{home / '.pyenv' / 'shims'}:/usr/bin:/bin"
    kept = {name: value for name, value in os.environ.items()
            if name not in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME")}  # fmt: skip
    return {**kept, "HOME": str(home), "PATH": path}


def listed(home: Path) -> list[dict[str, Any]]:
    done = subprocess.run([*DOCTOR, "--json"], capture_output=True, text=True, timeout=300,
                          check=False, env=environment(home))  # fmt: skip
    found: list[dict[str, Any]] = json.loads(done.stdout)["interpreters"]
    return found


def test_each_has_its_version_its_gil_and_what_it_lacks(home: Path) -> None:
    found = {each["path"]: each for each in listed(home)}
    (own,) = (each for path, each in found.items() if Path(path).samefile(sys.executable)
              and Path(path).parent == Path(sys.executable).parent)  # fmt: skip
    assert own["version"].endswith(".".join(map(str, sys.version_info[:3])))
    assert (own["missing"], own["mend"], own["too_old"]) == ([], None, False)
    assert own["gil_enabled"] is getattr(sys, "_is_gil_enabled", lambda: True)()
    bare = found[str(home / ".pyenv/versions/3.99.1/bin/python3.99")]
    assert bare["missing"] == ["httptools", "msgspec"]
    assert bare["mend"] == f"install them: {bare['path']} -m pip install httptools msgspec"
    assert any("/uv/python/cpython-3.98/bin/" in path for path in found)
    assert not any("/shims/" in path for path in found)


def test_on_a_terminal_each_is_told_with_what_mends_it_in_80_columns(home: Path) -> None:
    done = subprocess.run(DOCTOR, capture_output=True, text=True, timeout=300, check=False,
                          env={**environment(home), "COLUMNS": "80"})  # fmt: skip
    assert max(map(len, done.stdout.splitlines())) <= 80
    said = "".join(done.stdout.split())  # long paths are folded
    path = str(home / ".pyenv/versions/3.99.1/bin/python3.99")
    assert f"lackshttptoolsandmsgspec{path}mend:installthem:{path}-mpipinstallhttptools" in said


def test_a_name_whose_shim_starts_nothing_is_found_where_it_was_installed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    assert home / ".pyenv/versions/3.99.1/bin/python3.99" in interpreters()
    with pytest.raises(LabError, match=r"versions/3\.99\.1/bin/python3\.99 -m pip install"):
        examine_python("3.99")
