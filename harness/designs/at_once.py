"""Whether all servers of a restart fit onto this machine at once. Pure."""

from __future__ import annotations

from harness.core.record import Settings
from harness.core.units import size
from harness.designs.blocks import plan_restart
from harness.drivers.request_log import bytes_of
from harness.machine.room import Room

# Beside the logs of all blocks and the pipes of all processes, as many descriptors as any load
# needs, and as much memory as whole trials do with.
_LEFT_DESCRIPTORS = 512
_LEFT_BYTES = 384 << 20
_ARM_DESCRIPTORS = 12  # pipes of server and sampler, the connection to the control port
_ARM_BYTES = 64 << 20  # server and sampler at rest
_COPIES = 3  # of a request's row, until it has been written: log, copy, table


def too_much_at_once(settings: Settings, rps: float, room: Room) -> str | None:
    """Why a level cannot be measured in blocks here, in words without a full stop; None where it
    can be."""
    restart = plan_restart(settings, rps, 1)
    arms, blocks = len(restart.arms), len(restart.blocks)
    descriptors = blocks + arms * _ARM_DESCRIPTORS + _LEFT_DESCRIPTORS
    if descriptors > room.descriptors:
        return (
            f"{arms} servers and the logs of {blocks:,} blocks at once need {descriptors:,} file "
            f"descriptors, and {room.descriptors:,} are allowed"
        )
    rows = round(rps * restart.block_s * blocks)
    needed = _COPIES * bytes_of(rows) + _LEFT_BYTES
    if settings.target is None:
        stacks = settings.workers * settings.stack_size_bytes if settings.lock_stacks else 0
        needed += arms * (_ARM_BYTES + stacks)
    if needed > room.available_bytes:
        return (
            f"{arms} servers at once need about {size(needed)} of memory, and "
            f"{size(room.available_bytes)} are available"
        )
    return None
