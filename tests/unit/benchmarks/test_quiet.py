import os
import subprocess
import sys

from benchmarks.quiet import CpuWatch, OthersWatch, descendants, own_cpu_s

BURN = "import time\nwhile time.process_time() < 0.3: pass"


def test_what_a_child_used_is_ones_own_after_it_ended() -> None:
    before_s = own_cpu_s(os.getpid())
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert own_cpu_s(os.getpid()) - before_s >= 0.25


def test_descendants_are_children_and_their_children() -> None:
    shell = "sleep 60 & echo started; wait"
    with subprocess.Popen(["/bin/sh", "-c", shell], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (grandchild,) = descendants(process.pid)
        assert {process.pid, grandchild} <= set(descendants(os.getpid()))
        os.kill(grandchild, 15)


def test_others_never_use_less_than_nothing() -> None:
    others = OthersWatch()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert 0 <= others.cores() <= (os.cpu_count() or 1) * 1.1


def test_the_clients_cost_is_its_own_cpu_time() -> None:
    with CpuWatch() as idle:
        subprocess.run([sys.executable, "-c", BURN], check=True)
    assert idle.cpu_s < idle.wall_s
