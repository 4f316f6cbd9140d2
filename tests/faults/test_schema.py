"""H8: whatever a client may send by the OpenAPI document, or against it, ends in no server error.

It needs `pip install schemathesis==4.32.5`, which the tests do not ask for: it brings much with it.
The few hundred cases of every run are those of tests/integration/test_api_properties.py.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.deployment import deployed

# How well the document describes each answer is asked elsewhere.
_CHECKS = (
    "not_a_server_error,ignored_auth,unsupported_method,content_type_conformance,"
    "status_code_conformance,use_after_free"
)


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_no_request_ends_in_a_server_error(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    with deployed(tmp_path / "place", None, step_s=0.0, credits=100_000) as deployment:
        server = deployment.start()
        words = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("-H", f"x-api-key: {deployment.key}", "--checks", _CHECKS),
            # It would revoke the key that it asks with.
            *("--exclude-path-regex", r"/v1/keys/"),
            *("--max-examples", "40", "--max-time", "240", "--seed", "1"),
            *("--continue-on-failure", "--no-color", "--suppress-health-check", "all"),
        ]
        run = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ)
        )
        print(run.stdout[-3000:])
        cases = re.search(r"(\d+) generated", run.stdout)
        assert cases is not None
        assert int(cases[1]) >= 2_000
        assert run.returncode == 0
        assert '"level": "error"' not in server.log.read_text()
        deployment.prove(server, unbilled=("cancelled", "timeout"))
