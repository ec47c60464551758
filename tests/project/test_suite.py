"""The suite itself: no test is judged by the clock, and no page goes unseen in a green run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.chromium import REQUIRED, chromium

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "dirname", "env", "ln", "touch")


def test_no_example_is_judged_by_its_time() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert settings.default.derandomize
    assert HealthCheck.too_slow in settings.default.suppress_health_check


def test_without_chromium_a_test_of_a_page_is_skipped_or_fails_if_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium()
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="no page may go unseen"):
        chromium()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder to be the whole PATH: a machine that has next to nothing, with root's rights. Its
    make tells what it was asked for and whether pages are required."""
    for name in TOOLS:
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    program(tmp_path / "id", "echo 0")
    program(tmp_path / "make", f'echo "make $* ${{{REQUIRED}-unset}}"')
    return tmp_path


def program(file: Path, text: str) -> None:
    file.write_text(f"#!{shutil.which('bash')}\n{text}\n")
    file.chmod(0o755)


def ci_run(machine: Path) -> tuple[str, str]:
    """What .ci/run says there."""
    done = subprocess.run(
        [str(shutil.which("bash")), str(ROOT / ".ci" / "run")],
        env={"PATH": str(machine)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_where_chromium_is_there_pages_are_required(machine: Path) -> None:
    program(machine / "google-chrome", "")
    assert ci_run(machine) == ("make test 1\n", "")


def test_where_it_is_not_debians_package_is_installed(machine: Path) -> None:
    program(machine / "apt-get", f"""
        [[ $DEBIAN_FRONTEND = noninteractive ]] || exit 9
        case "$*" in
            *update*) touch {machine}/updated ;;
            *"install -y"*chromium) [[ -e {machine}/updated ]] || exit 100
                ln -s /bin/true {machine}/chromium ;;
        esac""")  # fmt: skip
    assert ci_run(machine) == ("make test 1\n", "")


@pytest.mark.parametrize("root", [True, False])
def test_where_it_cannot_be_had_that_is_one_line_and_the_tests_run(
    machine: Path, root: bool
) -> None:
    if not root:  # sudo asks for a password
        program(machine / "id", "echo 1000")
        program(machine / "sudo", "exit 1")
        program(machine / "apt-get", "exit 0")
    said, told = ci_run(machine)
    assert said == "make test unset\n"
    assert told.count("\n") == 1
    assert "browser tests are skipped" in told


def test_the_slowest_tests_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = makefile.partition("\ntests:")[2].partition("\n\n")[0]
    assert recipe.count("--durations=10") == recipe.count("/pytest ") > 0


def test_actions_require_pages_too() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert f'{REQUIRED}: "1"' in workflow
