from photogram.generation.states import OPEN_STATES, TRANSITIONS, JobState


def test_every_job_can_end_and_no_ended_job_goes_on() -> None:
    assert OPEN_STATES == (JobState.QUEUED, JobState.RUNNING)
    assert all(TRANSITIONS[state] for state in OPEN_STATES)
    ended = set(JobState) - set(OPEN_STATES)
    assert ended == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    assert not any(TRANSITIONS[state] for state in ended)
