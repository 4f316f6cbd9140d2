"""`python -m training.train`: train transformer and text encoders; goes on from the last checkpoint.

`--phase small`, then `large`, then `distill`; a phase may be cut into calls of `--seconds`. Progress is one
JSON object per line.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import torch

from training.train.batches import BatchMaker
from training.train.carry import carry_over
from training.train.loop import Budget, Trainer
from training.train.networks import SIZES, build_networks
from training.train.phases import PHASES
from training.train.state import STATE_FILE, TrainingState
from training.train.text import pretrain_text


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--run", default="mini", help="name of the checkpoint folder below --work")
    parser.add_argument("--size", choices=sorted(SIZES), default="mini")
    parser.add_argument("--concepts", type=int, default=240)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--phase", choices=sorted(PHASES), required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of this call")
    parser.add_argument(
        "--phase-seconds", type=float, help="of the whole phase; default: --seconds"
    )
    parser.add_argument("--batch-scale", type=float, help="default: 1 on cpu, 16 on cuda")
    parser.add_argument("--save-every", type=float, default=180.0)
    parser.add_argument("--text-steps", type=int, default=600, help="of pretraining, new runs only")
    parser.add_argument(
        "--text-rate", type=float, default=0.4, help="share of the rate for encoders"
    )
    parser.add_argument("--start-from", type=Path, help="state file of an older run")
    parser.add_argument(
        "--start-tokenizers", type=Path, help="folder of the older run's tokenizers"
    )
    parser.add_argument("--known", type=int, help="concepts that the older run knew")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    size, folder = SIZES[options.size], options.work / options.run
    device = torch.device(options.device)
    fresh = not (folder / STATE_FILE).is_file()
    torch.manual_seed(options.seed)
    maker = BatchMaker(options.work, options.concepts, options.seed, device, options.known)
    networks = build_networks(size, maker.front.t5, maker.front.clip).to(device)
    if fresh and options.start_from:
        carry_over(networks, maker.front, options.start_from, options.start_tokenizers)
    if fresh:
        pretrain_text(networks, maker, size, options.text_steps, options.known)
    networks.to(torch.bfloat16)
    state = TrainingState(networks, options.text_rate)
    if not fresh:
        state.load(folder)
        # Another stream for each resumption, or the same batches would come again.
        torch.manual_seed(options.seed + state.progress.steps)
        maker.reseed(options.seed + state.progress.steps)
    scale = options.batch_scale or (16.0 if device.type == "cuda" else 1.0)
    trainer = Trainer(networks, maker, state, folder, scale)
    signal.signal(signal.SIGTERM, trainer.stop)
    whole = options.phase_seconds or options.seconds
    trainer.run(PHASES[options.phase], Budget(options.seconds, whole, options.save_every))


if __name__ == "__main__":
    main()
