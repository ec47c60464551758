"""What a JSON schema says of a document, and of a run's record in particular."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def assert_follows(document: Any, schema: dict[str, Any]) -> None:
    """The schema is sound by the draft that it names (2020-12, if none), and the document follows
    it."""
    # Imported here: it takes a second, and each process of a suite imports every test file.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    validator = validator_for(schema, default=Draft202012Validator)
    validator.check_schema(schema)
    validator(schema).validate(document)


def assert_is_a_run(record: dict[str, Any]) -> None:
    """It follows the schema that is published of `run.json`."""
    published = files("harness").joinpath("run.schema.json").read_text("utf-8")
    assert_follows(record, json.loads(published))
