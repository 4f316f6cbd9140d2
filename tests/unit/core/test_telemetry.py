import json
import subprocess
import sys

from photogram.core.telemetry import redact_tokens


def test_a_token_in_a_log_event_is_cut_to_its_public_part() -> None:
    token = "phg_live_abcd1234_" + "S" * 49
    event = redact_tokens(None, "info", {"event": f"seen {token}!", "n": 1})
    assert event == {"event": "seen phg_live_abcd1234…!", "n": 1}


def test_what_libraries_say_is_a_line_of_json_too_and_holds_no_token() -> None:
    script = (
        "import logging; from photogram.core.telemetry import configure_logging;"
        "configure_logging('info');"
        "logging.getLogger('library').warning('saw %s', 'phg_live_abcd1234_' + 'S' * 49)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    line = json.loads(result.stderr)
    assert line["event"] == "saw phg_live_abcd1234…"
    assert line["level"] == "warning"
