"""A server as `photogram serve` composes it, but for the points of `points`, in its own process.

    python -m tests.faults.composed '{"point": "admit.after", "visits": 1, "stops": false, "step_s": 0.02}'

Its settings come from the environment; it prints one line of JSON when it takes requests.
"""

import asyncio
import json
import sys
from dataclasses import replace

from photogram.bootstrap.listeners import listen
from photogram.bootstrap.server import Announcement, serve_store
from photogram.bootstrap.store import open_store
from photogram.core.settings import load_settings
from photogram.core.telemetry import configure_logging
from tests.faults.points import Killer, KillingDatabase, KillingEngine, KillingFolder
from tests.unit.generation.catalogues import catalogue_of


def main() -> None:
    plan = json.loads(sys.argv[1])
    killer = Killer(plan["point"], plan["visits"], stops=plan["stops"])
    settings = load_settings()
    configure_logging(settings.log_level)
    with (
        listen(settings.host, settings.port) as listener,
        open_store(settings, is_alone=True) as store,
    ):
        meddled = replace(
            store,
            database=KillingDatabase(store.database, killer),
            blobs=KillingFolder(store.blobs._path, killer),
        )
        engine = KillingEngine(killer, plan["step_s"])
        catalogue = catalogue_of(engine.model)
        asyncio.run(serve_store(settings, meddled, engine, catalogue, (listener, None), _announce))


def _announce(announcement: Announcement) -> None:
    key = announcement.first_key
    print(json.dumps({"url": announcement.url, "key": key.token if key else None}), flush=True)


if __name__ == "__main__":
    main()
