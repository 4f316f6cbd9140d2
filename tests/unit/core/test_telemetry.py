from photogram.core.telemetry import redact_tokens


def test_a_token_in_a_log_event_is_cut_to_its_public_part() -> None:
    token = "phg_live_abcd1234_" + "S" * 49
    event = redact_tokens(None, "info", {"event": f"seen {token}!", "n": 1})
    assert event == {"event": "seen phg_live_abcd1234…!", "n": 1}
