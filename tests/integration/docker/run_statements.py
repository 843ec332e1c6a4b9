"""A ClickHouse engine of its own: runs the statements (a JSON list on standard input) and prints what each gave.

`python run_statements.py DATA_FOLDER CONFIGURATION`. An answer is {"rows": [...]} or {"error": "..."}. The engine is
one per process, so the tests run this as a process.
"""

import json
import sys

import chdb

engine = chdb.connect(f"{sys.argv[1]}?config-file={sys.argv[2]}")
answers = []
for statement in json.load(sys.stdin):
    try:
        text = str(engine.query(statement, "JSONCompactEachRow"))
        answers.append({"rows": [json.loads(line) for line in text.splitlines()]})
    except Exception as error:  # noqa: BLE001 - what the engine says is the answer
        answers.append({"error": str(error)})
json.dump(answers, sys.stdout)
