"""What the way in which a run was driven does to its figures, in a sentence."""

from __future__ import annotations

from harness.core.record import Settings


def driver_sentence(settings: Settings) -> str | None:
    """What a closed loop hides; None for the open loop, which hides nothing."""
    if settings.driver == "closed-loop":
        return (
            "Closed loop: a client whose last request is slow sends the next one late, so service "
            "times leave out that waiting; response times count from the intended time."
        )
    if settings.driver == "locust":
        spread = f" in {settings.locust_workers} workers" if settings.locust_workers else ""
        if settings.expect_workers:
            spread = f" in {settings.expect_workers} workers of other machines"
        return (
            f"Driven by Locust ({settings.user_class} users{spread}), a closed loop: a user sends "
            "again only when it has its answer. While the server is slow fewer requests leave, and "
            "what the missing ones would have waited is in no figure; Locust's own lateness is in "
            "every response time."
        )
    return None
