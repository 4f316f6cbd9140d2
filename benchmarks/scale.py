"""How much each cell measures: everything (`FULL`) or as little as runs every line (`QUICK`).

Plain numbers; it knows no server and no engine.
"""

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """The size of one run of the harness.

    Attributes:
        name: What the report calls it.
        rounds: Every engine is measured so often, in alternating order.
        single_rounds: Rounds of the cells without a server, which are shorter.
        thread_counts: CPU threads that the cells without a server are measured at.
        is_compiled: diffusers is measured compiled, too; its server is compiled.
        steps: Denoising steps of a request in the cells that do not mix them.
        large_image_tokens: Sizes of the random checkpoint's pictures.
        closed_clients: Clients of the closed loop.
        closed_requests: Requests of one level of the closed loop, besides two for each client.
        open_rounds: Rounds in which the open loop is measured: it takes the longest.
        open_loads: Arrivals as shares of a server's capacity.
        open_requests: Requests at each load.
        alone_repeats: How often a request is sent alone to know its time alone.
        trickle_requests: Requests of the account that trickles.
        flood_outstanding: Requests that the flooding account keeps under way.
        overtake_repeats: How often a short request arrives behind eight long ones.
        long_steps: Denoising steps of a long one.
        overhead_requests: Requests of the cell of the server's own cost.
        memory_requests: Requests under which memory is watched.
    """

    name: str
    rounds: int
    single_rounds: int
    thread_counts: tuple[int, ...]
    is_compiled: bool
    steps: int
    large_image_tokens: tuple[int, ...]
    closed_clients: tuple[int, ...]
    closed_requests: int
    open_rounds: int
    open_loads: tuple[float, ...]
    open_requests: int
    alone_repeats: int
    trickle_requests: int
    flood_outstanding: int
    overtake_repeats: int
    long_steps: int
    overhead_requests: int
    memory_requests: int


FULL = Scale(
    name="full",
    rounds=3,
    single_rounds=7,
    thread_counts=(1, 2),
    is_compiled=True,
    steps=25,
    large_image_tokens=(256, 1024),
    closed_clients=(1, 2, 4, 8, 16),
    closed_requests=12,
    open_rounds=1,
    open_loads=(0.5, 0.75, 1.0, 1.25, 1.5),
    open_requests=32,
    alone_repeats=3,
    trickle_requests=4,
    flood_outstanding=16,
    overtake_repeats=2,
    long_steps=50,
    overhead_requests=16,
    memory_requests=24,
)

QUICK = Scale(
    name="quick",
    rounds=1,
    single_rounds=1,
    thread_counts=(1,),
    is_compiled=False,
    steps=3,
    large_image_tokens=(16,),
    closed_clients=(1, 2),
    closed_requests=2,
    open_rounds=1,
    open_loads=(1.0,),
    open_requests=4,
    alone_repeats=1,
    trickle_requests=1,
    flood_outstanding=4,
    overtake_repeats=1,
    long_steps=8,
    overhead_requests=2,
    memory_requests=4,
)
