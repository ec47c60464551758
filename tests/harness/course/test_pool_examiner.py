"""Each fault of a pool is found, and named by the sentence that is about it; none passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.course.examination import NOTHING_FOUND

RIGHT = Path(__file__).with_name("right_pool.py").read_text("utf-8")
GAPS = """
class Pool:
    def __init__(self, workers, size, handle): ...
    def submit(self, connection): ...
    def close(self, timeout): ...
    def __len__(self): ...
"""

SPINNING = """
import threading, time
from collections import deque
class Pool:
    def __init__(self, workers, size, handle):
        self.size, self.handle, self.queue, self.closing = size, handle, deque(), False
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(workers)]
        [thread.start() for thread in self.threads]
    def submit(self, connection):
        if len(self.queue) >= self.size:
            return False
        self.queue.append(connection)
        return True
    def work(self):
        while self.queue or not self.closing:
            try:
                self.handle(self.queue.popleft())
            except Exception:
                pass
    def close(self, timeout):
        until, self.closing = time.monotonic() + timeout, True
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)
    def __len__(self):
        return len(self.queue)
"""
LOST = """        if not self.queue and not self.closing:
            with self.changed:
                self.changed.wait()
        with self.changed:
"""
WAITING = """        with self.changed:
            self.changed.wait_for(lambda: self.queue or self.closing)
"""
JOIN = "thread.join(max(0.0, until_s - time.monotonic()))"


def changed(*pairs: tuple[str, str]) -> str:
    """The right pool, with these changes."""
    text = RIGHT
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


FAULTS = {
    "it is not written yet": (GAPS, "must say True"),
    "it is no class": ("Pool = None\n", "has no submit()"),
    "it cannot be read": ("class Pool\n", "SyntaxError"),
    "there is no close": (RIGHT.replace("def close", "def end"), "has no close()"),
    "nobody is woken": (
        changed(("            self.changed.notify()\n", "")), "nobody woke up"
    ),
    "a wake-up is lost": (changed((WAITING, LOST)), "wake-up was lost"),
    "no bound": (
        changed(("len(self.queue) >= self.size", "False")), "no bound"
    ),
    "one too many": (
        changed(("len(self.queue) >= self.size", "len(self.queue) > self.size")),
        "with room for 3 it let 4 wait",
    ),
    "one too few": (
        changed(("len(self.queue) >= self.size", "len(self.queue) >= self.size - 1")),
        "with room for 3 it let 2 wait",
    ),
    "it waits for room": (
        changed((
            "                return False\n",
            "                self.changed.wait_for(lambda: len(self.queue) < self.size)\n",
        )),
        "does submit() wait for room",
    ),
    "it says nothing": (changed(("        return True\n", "")), "gave None"),
    "it handles under the lock": (
        changed(("                self.handle(connection)", "                with self.changed:\n"
                 "                    self.handle(connection)")),
        "hold the lock while a handler runs",
    ),
    "one worker at a time": (
        changed(
            ("                self.handle(connection)", "                with self.one:\n"
             "                    self.handle(connection)"),
            ("        self.queue: deque[Any] = deque()\n",
             "        self.queue: deque[Any] = deque()\n        self.one = threading.Lock()\n"),
        ),
        "one alone is at work",
    ),
    "a worker dies": (
        changed(("            except Exception:\n", "            except KeyError:\n")),
        "took a worker with it",
    ),
    "a thread for each": (
        changed((
            "            self.queue.append(connection)\n",
            "            self.queue.append(connection)\n"
            "            threading.Thread(target=self.work, daemon=True).start()\n",
        )),
        "more than two were handled",
    ),
    "it drops what is queued": (
        changed(("            return self.queue.popleft() if self.queue else None",
                 "            return self.queue.popleft() if not self.closing else None")),
        "never handled",
    ),
    "time for each worker": (changed((JOIN, "thread.join(timeout)")), "not for each"),
    "it does not wait for the end": (
        changed(("        return not any(thread.is_alive() for thread in self.threads)",
                 "        return True")),
        "handlers were still busy",
    ),
    "it waits for ever": (changed((JOIN, "thread.join()")), "close(0.4) does not come back"),
    "the workers never hear of the end": (
        changed(("            self.changed.notify_all()\n", "")), "how do they hear that no more"
    ),
    "the workers never end": (
        changed(
            ("            self.changed.notify_all()\n", ""),
            ("        return not any(thread.is_alive() for thread in self.threads)",
             "        return not self.queue"),
        ),
        "have not ended",
    ),
    "it counts wrongly": (
        changed(("        return len(self.queue)", "        return len(self.queue) + 2")),
        "len() says 5",
    ),
    "busy waiting": (
        SPINNING, "busy waiting"
    ),
    "a race of the bound": (
        changed((
            "        with self.changed:\n            if len(self.queue) >= self.size:\n"
            "                return False\n",
            "        if len(self.queue) >= self.size:\n            return False\n"
            "        with self.changed:\n",
        )),
        "takes more than its size",
    ),
    "a race for the last one": (
        changed((
            "            return self.queue.popleft() if self.queue else None\n",
            "        if not self.queue:\n            return None\n"
            "        return self.queue.popleft()\n",
        )),
        "another took it (a race)",
    ),
    "it looks again and again": (
        changed((WAITING, "        while not self.queue and not self.closing:\n"
                          "            pass\n        with self.changed:\n")),
        "busy waiting",
    ),
}  # fmt: skip


def examined(text: str, folder: Path) -> str:
    """What is said of a pool, by a process of its own."""
    file = folder / "my_pool.py"
    file.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.course.pool_examiner", str(file), "Pool"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_pool_that_is_right_has_no_fault(tmp_path: Path) -> None:
    assert examined(RIGHT, tmp_path) == NOTHING_FOUND


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named(name: str, tmp_path: Path) -> None:
    text, sentence = FAULTS[name]
    assert sentence in examined(text, tmp_path)
