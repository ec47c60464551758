from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from inspect import cleandoc
from typing import Any

import msgspec

from harness.core.record import json_schema
from tests.support.made import make_run
from tests.support.schemas import assert_is_a_run


def test_the_published_schema_is_the_one_that_the_records_have() -> None:
    published = json.loads(files("harness").joinpath("run.schema.json").read_text("utf-8"))
    assert published == json_schema(), (
        "run: python -m harness.core.record > harness/run.schema.json"
    )
    assert_is_a_run(json.loads(msgspec.json.encode(make_run([]))))


def test_the_schema_is_the_same_under_every_python() -> None:
    """Python 3.13 takes the indentation out of docstrings, which become descriptions; others
    keep it."""
    told = list(descriptions(json_schema()))
    assert any("\n" in description for description in told)
    assert told == [cleandoc(description) for description in told]


def descriptions(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from descriptions(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "description" and isinstance(item, str):
                yield item
            else:
                yield from descriptions(item)
