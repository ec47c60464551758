"""A command with fewer rights: `python less_allowed.py {no-capabilities|no-perf} COMMAND...`.

`no-capabilities`: what an ordinary user is to the kernel, though the files stay root's.
`no-perf`: perf_event_open(2) is refused by a filter on system calls, as containers do.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP, SECCOMP_MODE_FILTER = 38, 22, 24, 2
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def drop_capabilities() -> None:
    """What is not in the bounding set, exec does not give."""
    for capability in range(64):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def refuse_perf() -> None:
    """For this process and all that come from it."""
    number = PERF_EVENT_OPEN[platform.machine()]
    steps = [
        (LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, number),
        (RETURN, 0, 0, REFUSE | errno.EPERM), (RETURN, 0, 0, ALLOW),
    ]  # fmt: skip
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    told = struct.pack("@HP", len(steps), ctypes.addressof(program))
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, told, 0, 0):
        sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    {"no-capabilities": drop_capabilities, "no-perf": refuse_perf}[sys.argv[1]]()
    os.execvp(sys.argv[2], sys.argv[2:])
