"""The interpreters that ran the servers, in words: which, and whether the GIL was off. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.record import Interpreter, Run
from harness.core.wording import slot_names


def gil_in_servers(run: Run, slots: set[int]) -> bool | None:
    """Whether the GIL was on in any server of these arms, as they said while they ran; None where
    none said."""
    said = [t.server.gil_enabled for t in run.trials if t.slot in slots and t.server is not None]
    known = [gil for gil in said if gil is not None]
    return any(known) if known else None


def interpreters_of(run: Run) -> Iterator[tuple[str, Interpreter, bool]]:
    """What each interpreter ran, the interpreter, and whether the GIL was on: by the servers that
    ran, else as it was asked before."""
    environment, names = run.environment, slot_names(run.settings)
    one = environment.server_python
    if one is not None:
        found = gil_in_servers(run, set(range(len(names))))
        yield "the servers", one, one.gil_enabled if found is None else found
    for slot, typed in enumerate(run.settings.pythons):
        each = environment.server_pythons.get(typed)
        if each is not None:
            found = gil_in_servers(run, {slot})
            yield names[slot], each, each.gil_enabled if found is None else found


def python_sentences(run: Run) -> list[str]:
    """Under what the servers ran, a sentence each; none where that was the lab's own Python with
    its GIL."""
    found = [
        f"{what[0].upper() + what[1:]} ran under {_at(each)}, {gil_words(gil)}."
        for what, each, gil in interpreters_of(run)
    ]
    if not found and gil_in_servers(run, {trial.slot for trial in run.trials}) is False:
        return ["The servers ran without the GIL."]
    return found


def gil_warnings(run: Run) -> list[str]:
    """Of each build without the GIL whose servers ran with it."""
    return [_switched_on(what, each) for what, each, gil in interpreters_of(run)
            if each.free_threaded_build and gil]  # fmt: skip


def _switched_on(what: str, interpreter: Interpreter) -> str:
    by = interpreter.gil_enabled_by
    why = "an extension or PYTHON_GIL=1" if by is None else f"the import of {by}"
    return (
        f"{what}: {interpreter.version} is built to run without the GIL and ran with it, since "
        f"{why} switched it on; PYTHON_GIL=0 in the environment keeps it off"
    )


def _at(interpreter: Interpreter) -> str:
    where = f" ({interpreter.path})" if interpreter.path else ""
    return f"{interpreter.version}{where}"


def gil_words(on: bool) -> str:
    """`with the GIL`, or without."""
    return "with the GIL" if on else "without the GIL"
