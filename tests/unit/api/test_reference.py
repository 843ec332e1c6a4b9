import json
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import validate

from neonblue_api.errors import all_errors
from neonblue_api.examples import REPLIES
from neonblue_api.main import create_app
from neonblue_api.reference import DOCS, PAGES


@pytest.mark.parametrize("page", PAGES)
def test_the_committed_page_says_what_the_code_does(page):
    assert (DOCS / page).read_text() == PAGES[page](), "run `python -m neonblue_api.reference`"


def test_the_document_is_valid_openapi():
    document = json.loads((DOCS / "openapi.json").read_text())
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_route_is_documented_with_its_errors_and_bodies_with_an_example():
    document = create_app().openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation.get("description"), where
            if path.startswith("/v1/"):
                assert {"401", "403", "422", "503"} <= operation["responses"].keys(), where
                assert operation["security"], where
            bodies = operation.get("requestBody", {}).get("content", {})
            for media in bodies.values():
                assert _has_example(document, media["schema"]), where
            if bodies:
                assert {"400", "408", "413", "415"} <= operation["responses"].keys(), where
            for status, reply in operation["responses"].items():
                for media in reply.get("content", {}).values() if status < "300" and path.startswith("/v1/") else ():
                    assert _has_example(document, media["schema"]), f"{where} {status}"


def _has_example(document: dict, schema: dict) -> bool:
    if schema.get("type") == "array":
        return _has_example(document, schema["items"])
    if "anyOf" in schema:
        return any(_has_example(document, choice) for choice in schema["anyOf"])
    named = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    if named.get("examples"):
        return True
    parts = list(named.get("properties", {}).values())
    return any(part.get("examples") or "$ref" in part.get("items", {}) for part in parts)


def test_no_two_models_have_one_name():
    schemas = create_app().openapi()["components"]["schemas"]
    assert [name for name in schemas if "__" in name] == [], "the framework tells such apart by their modules"


def test_the_example_of_a_reply_is_such_a_reply():
    document = create_app().openapi()
    for name, example in REPLIES.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(example, schema, jsonschema.Draft202012Validator)


def test_every_code_is_met_in_a_test():
    tests = "".join(path.read_text() for path in Path(__file__).parents[2].rglob("test_*.py"))
    assert [kind.code for kind in all_errors() if f'"{kind.code}"' not in tests] == []


def test_every_code_stands_for_one_error():
    codes = [kind.code for kind in all_errors()]
    assert len(codes) == len(set(codes))
    for kind in all_errors():
        assert kind.rule != "", kind.code
        assert kind.way_out != "", kind.code
