"""What a server does first: end the jobs that the last one left open.

An engine's work does not survive its process, so a job that is still queued or running when a
server starts will never finish. Only the holder of the data folder's lock may ask for this.
"""

from sqlalchemy import Connection

from photogram.generation import repository
from photogram.generation.states import JobState
from photogram.storage.database import Database

SERVER_RESTARTED = "server_restarted"


def recover(database: Database) -> int:
    """Fail every open job and release its hold, in one transaction; returns how many there were.

    Raises:
        StorageError: The database refused; nothing has changed.
    """
    return database.transact(_fail_open_jobs)


def _fail_open_jobs(connection: Connection) -> int:
    job_ids = repository.open_jobs(connection)
    for job_id in job_ids:
        repository.fail(connection, job_id, JobState.FAILED, SERVER_RESTARTED)
    return len(job_ids)
