"""The pages that follow from code: `python -m neonblue_api.reference` writes docs/openapi.json and docs/errors.md."""

import json
from pathlib import Path

from neonblue_api.errors import all_errors
from neonblue_api.main import create_app

DOCS = Path(__file__).parents[1] / "docs"


def openapi_text() -> str:
    return json.dumps(create_app().openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def errors_text() -> str:
    lines = [
        "# Errors of the API",
        "",
        "Made from `neonblue_api/errors.py` by `python -m neonblue_api.reference`; a test holds it true.",
        "",
        "Every error is `application/problem+json` with `type`, `title`, `status`, `code`, `detail` (which thing, what",
        "was found), `rule`, `way_out` and `request_id`; `errors` lists the fields where a body breaks several rules.",
        "In a batch the same codes stand in `rejected`, with the position of the item.",
        "",
        "| status | code | what it means | the rule | the way out |",
        "|---|---|---|---|---|",
    ]
    for kind in all_errors():
        cells = (str(kind.status), f"`{kind.code}`", kind.title, kind.rule, kind.way_out)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


PAGES = {"openapi.json": openapi_text, "errors.md": errors_text}

if __name__ == "__main__":
    for name, text in PAGES.items():
        (DOCS / name).write_text(text())
