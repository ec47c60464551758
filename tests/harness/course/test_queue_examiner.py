"""Each fault of a queue, of workers and of an end is named; a file with gaps is no answer."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

import pytest

from harness.course import examined, solved_pool
from harness.course.checks import check
from harness.course.files import notebooks_folder

SOLVED = inspect.getsource(solved_pool)
GIVEN = notebooks_folder() / "my_pool.py"
NOT_YET = "no answer yet. Put yours in, and run this cell again.\n"


def changed(old: str, new: str) -> str:
    """The finished pool, with this change."""
    assert old in SOLVED, old
    return SOLVED.replace(old, new, 1)


TAKE = """            while not self.items and not self.closed:
                self.changed.wait()
            return self.items.popleft() if self.items else None
"""
FAULTS = {
    "a put that says nothing": (
        "3.1", changed("                return False\n", "                return\n"), "gave None",
    ),
    "a put that gives the item": (
        "3.1", changed("            return True\n", "            return item\n"), "gave 1",
    ),
    "no bound": ("3.1", changed("len(self.items) >= self.size", "False"), "no bound"),
    "one too many": (
        "3.1", changed("len(self.items) >= self.size", "len(self.items) > self.size"), "let 4 wait",
    ),
    "it waits for room": (
        "3.1",
        changed("                return False\n",
                "                self.changed.wait_for(lambda: len(self.items) < self.size)\n"),
        "does not come back on a full queue",
    ),
    "newest first": ("3.1", changed("popleft()", "pop()"), "the oldest is to come first"),
    "it looks and does not take": ("3.1", changed("popleft()", "__getitem__(0)"), "gave 1, 1, 1"),
    "it does not sleep": (
        "3.1", changed(TAKE, "            return self.items.popleft() if self.items else None\n"),
        "came back with None",
    ),
    "it raises": (
        "3.1", changed(TAKE, "            return self.items.popleft()\n"), "raised IndexError",
    ),
    "busy waiting": (
        "3.1",
        changed("        with self.changed:\n"
                "            while not self.items and not self.closed:\n"
                "                self.changed.wait()\n",
                "        while not self.items and not self.closed:\n            pass\n"
                "        with self.changed:\n"),
        "(busy waiting)",
    ),
    "no notify": ("3.1", changed("            self.changed.notify()\n", ""), "who tells a sleeper"),
    "it sleeps with the lock": (
        "3.1",
        changed("                self.changed.wait()\n", "                time.sleep(0.01)\n"),
        "what does one keep hold of",
    ),
    "it tells only of the first": (
        "3.1",
        changed("            self.changed.notify()\n",
                "            if len(self.items) == 1:\n                self.changed.notify()\n"),
        "how many does one put wake",
    ),
    "a lost wake-up": (
        "3.1",
        changed("        with self.changed:\n            while not self.items",
                "        if not self.items and not self.closed:\n            with self.changed:\n"
                "                self.changed.wait()\n"
                "        with self.changed:\n            while not self.items").replace(
                "            while not self.items and not self.closed:\n"
                "                self.changed.wait()\n", ""),
        "the wake-up was lost",
    ),
    "a race of the bound": (
        "3.1",
        changed("        with self.changed:\n            if len(self.items) >= self.size:\n"
                "                return False\n",
                "        if len(self.items) >= self.size:\n            return False\n"
                "        with self.changed:\n"),
        "another got in (a race)",
    ),
    "an if where a while is needed": (
        "3.1",
        changed(TAKE, "            if not self.items:\n                self.changed.wait()\n"
                      "        return self.items.popleft()\n"),
        "another took it",
    ),
    "a worker handles one and ends": (
        "3.2", changed("        while (item", "        if (item"), "not all of them were handled",
    ),
    "a worker dies": ("3.2", changed("except Exception:", "except KeyError:"), "took a worker"),
    "it handles under the lock": (
        "3.2",
        changed("                self.handle(item)",
                "                with self.queue.changed:\n                    self.handle(item)"),
        "hold the lock while a handler runs",
    ),
    "it hands on what is none": (
        "3.2", changed("self.handle(item)", "self.handle(None)"), "called with None",
    ),
    "the sleepers do not hear of the end": (
        "3.3", changed("            self.changed.notify_all()\n", ""), "how do they hear",
    ),
    "one alone hears of the end": (
        "3.3", changed("notify_all()", "notify()"), "how do they hear",
    ),
    "the end comes before the queue is empty": (
        "3.3", changed("popleft() if self.items else", "popleft() if not self.closed else"),
        "must let the queue empty",
    ),
    "the time is for each": (
        "3.3",
        changed("thread.join(max(0.0, until_s - time.monotonic()))", "thread.join(timeout)"),
        "not for each",
    ),
    "it says that all is well": (
        "3.3",
        changed("return not any(thread.is_alive() for thread in self.threads)", "return True"),
        "still busy",
    ),
    "it ends by itself": ("3.1", "import sys\nsys.exit()\n", "SystemExit"),
    "it cannot be read": ("3.1", "class BoundedQueue\n", "SyntaxError"),
    "it has another name": ("3.1", "class Queue:\n    pass\n", "no attribute 'BoundedQueue'"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exercise, text, sentence = FAULTS[name]
    file = tmp_path / "my_pool.py"
    file.write_text(text, "utf-8")
    assert not check(exercise, file)
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("exercise", ["3.1", "3.2", "3.3"])
def test_the_finished_pool_is_right_whatever_it_prints(
    exercise: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my_pool.py"
    file.write_text(SOLVED.replace("    def __len__", "    print('I am here')\n\n    def __len__"))
    assert check(exercise, str(file))
    assert capsys.readouterr().out == f"Exercise {exercise}: right.\n"


@pytest.mark.parametrize("exercise", ["3.1", "3.2", "3.3"])
def test_the_file_as_it_is_given_is_no_answer(
    exercise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check(exercise, GIVEN)
    said = capsys.readouterr().out
    assert said == f"Exercise {exercise}: {NOT_YET}"


def test_a_part_that_is_begun_names_what_is_still_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(shutil.copy(GIVEN, tmp_path))
    begun = file.read_text("utf-8").replace("        ...\n", "        return True\n", 1)
    file.write_text(begun, "utf-8")
    assert not check("3.1", file)
    assert "not yet. BoundedQueue.get of my_pool.py is still empty" in capsys.readouterr().out


def test_what_is_not_there_and_what_never_ends_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check("3.1", "nowhere.py")
    assert "There is no file nowhere.py here" in capsys.readouterr().out
    file = tmp_path / "my_pool.py"
    file.write_text("while True:\n    pass\n", "utf-8")
    monkeypatch.setattr(examined, "LIMIT_S", 1.0)
    assert not check("3.1", file)
    assert "is there a loop in my_pool.py that never ends?" in capsys.readouterr().out


def test_until_a_pool_is_finished_the_solution_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "")
    monkeypatch.chdir(tmp_path)
    shutil.copy(GIVEN, "my_pool.py")
    assert examined.pool_to_measure() == "harness.course.solved_pool:Backend"
    assert "my_pool.py is not finished" in capsys.readouterr().out
    Path("my_pool.py").write_text(SOLVED, "utf-8")
    assert examined.pool_to_measure() == "my_pool:Backend"
    assert capsys.readouterr().out == ""
