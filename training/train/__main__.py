"""`python -m training.train`: train transformer and text encoders; goes on from the last checkpoint.

`--phase small`, then `large`, then `distill`; a phase may be run again. Progress is one JSON object per line.
"""

from __future__ import annotations

import argparse
import signal
from dataclasses import replace
from pathlib import Path

import torch

from training.train.batches import BatchMaker
from training.train.loop import PHASES, Trainer
from training.train.networks import SIZES, build_networks
from training.train.state import TrainingState
from training.train.text import pretrain_text


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--run", default="mini", help="name of the checkpoint folder below --work")
    parser.add_argument("--size", choices=sorted(SIZES), default="mini")
    parser.add_argument("--concepts", type=int, default=132)
    parser.add_argument("--phase", choices=sorted(PHASES), required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--save-every", type=float, default=180.0)
    parser.add_argument(
        "--text-steps", type=int, default=600, help="of pretraining, fresh runs only"
    )
    parser.add_argument(
        "--text-rate", type=float, default=0.3, help="share of the rate for encoders"
    )
    parser.add_argument(
        "--new-from", type=int, help="concepts from this one on are drawn more often"
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--muon-rate", type=float)
    parser.add_argument("--adam-rate", type=float)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    size, folder = SIZES[options.size], options.work / options.run
    fresh = not (folder / "state.safetensors").is_file()
    torch.manual_seed(options.seed)
    maker = BatchMaker(options.work, options.concepts, options.seed, options.new_from)
    networks = build_networks(size, maker.front.t5, maker.front.clip)
    if fresh:
        pretrain_text(networks, maker, size, options.text_steps)
    networks.to(torch.bfloat16)
    state = TrainingState(networks, options.text_rate)
    if not fresh:
        state.load(folder)
        # Another stream for each resumption, or the same batches would come again.
        steps = int(state.counters["steps"])
        torch.manual_seed(options.seed + steps)
        maker.rng.seed(options.seed + steps)
        maker.writer.rng.seed(options.seed + steps + 1)
    given = ("batch_size", "muon_rate", "adam_rate")
    changes = {key: getattr(options, key) for key in given if getattr(options, key) is not None}
    phase = replace(PHASES[options.phase], **changes)
    trainer = Trainer(networks, maker, state, folder)
    signal.signal(signal.SIGTERM, trainer.stop)
    trainer.run(phase, options.seconds, options.save_every)


if __name__ == "__main__":
    main()
