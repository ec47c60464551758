from __future__ import annotations

import json
from importlib.resources import files

import jsonschema

from harness.record import json_schema


def test_the_published_schema_is_the_one_that_the_records_have() -> None:
    published = json.loads(files("harness").joinpath("run.schema.json").read_text("utf-8"))
    assert published == json_schema(), "run: python -m harness.record > harness/run.schema.json"
    jsonschema.Draft202012Validator.check_schema(published)
