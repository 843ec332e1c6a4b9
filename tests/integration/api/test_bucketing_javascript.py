"""Bucketing against GrowthBook's JavaScript SDK, where Node is present: a second implementation by its own people."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from neonblue_api.bucketing import choose_variant
from tests.unit.api.test_bucketing import EXPERIMENTS, USERS

SCRIPT = """
const { GrowthBook } = require('@growthbook/growthbook');
const { users, experiments } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(experiments.map(e => users.map(id => {
  const r = new GrowthBook({ attributes: { id } }).run(
    { key: 'k', variations: e.weights.map((_, i) => i), seed: e.seed, weights: e.weights, coverage: e.coverage,
      hashVersion: 2 });
  return r.inExperiment ? r.variationId : null;
}))));
"""


def test_a_user_gets_the_variant_that_the_javascript_sdk_gives(tmp_path: Path):
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs Node with npm")
    got = subprocess.run(
        ["npm", "install", "--silent", "--no-fund", "--no-audit", "@growthbook/growthbook@1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if got.returncode:
        pytest.skip(f"@growthbook/growthbook cannot be installed here: {got.stderr[-200:]}")
    asked = json.dumps({"users": USERS, "experiments": EXPERIMENTS})
    answer = subprocess.run(
        ["node", "-e", SCRIPT], cwd=tmp_path, input=asked, capture_output=True, text=True, check=True
    )
    expected = json.loads(answer.stdout)
    found = [[choose_variant(user_id=user, **experiment) for user in USERS] for experiment in EXPERIMENTS]
    assert found == expected
