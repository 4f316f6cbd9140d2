"""The network beside diffusers', and a run that is cut and taken up again."""

import json

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.numpy import save_file

from training.autoencoder.codec import LinearCodec
from training.captions.vocabulary import FILLERS_FILE
from training.data.pictures import load_concepts
from training.data.sources import SOURCES
from training.tokenizers.build import build_clip_tokenizer, build_t5_tokenizer
from training.train.batches import BatchMaker, TextFront
from training.train.carry import carry_over
from training.train.flow import image_ids
from training.train.loop import Budget, Trainer
from training.train.networks import SIZES, build_networks
from training.train.phases import Canvas, Phase
from training.train.state import STATE_FILE, Progress, TrainingState, read_progress
from training.train.text import label_sizes, labels
from training.train.transformer import Shape, Transformer

NUM_CONCEPTS = 6


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder with a few plain pictures, a latent space and tokenizers."""
    folder = tmp_path_factory.mktemp("work")
    concepts = load_concepts(NUM_CONCEPTS)
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for source in SOURCES:
        rgba = np.zeros((NUM_CONCEPTS, 256, 256, 4), np.uint8)
        rgba[:, 40:216, 40:216] = [(*rng.integers(0, 256, 3), 255)]
        save_file({"rgba": rgba}, folder / "pictures" / f"{source.key}.safetensors")
        rows = [{"emoji": concept.emoji} for concept in concepts]
        (folder / "pictures" / f"{source.key}.json").write_text(json.dumps(rows))
    codec = LinearCodec.fit(rng.random((8, 64, 64, 3)).astype(np.float32))
    codec.save(folder / "autoencoder" / "codec.safetensors")
    (folder / FILLERS_FILE).write_text(json.dumps(["filler"]))
    words = [word for c in concepts for word in c.name.split()]
    build_t5_tokenizer(["a", "on", *words], set(words)).save_pretrained(folder / "tokenizer_2")
    build_clip_tokenizer(["a cat on a desk", *words], 300).save_pretrained(folder / "tokenizer")
    return folder


PHASE = Phase(
    "small", (Canvas(128, 128, 1.0), Canvas(96, 128, 1.0)), ((16, 1.0),), 200, 1e-3, 1e-3, 1.5
)


def trainer(work, folder):
    device = torch.device("cpu")
    maker = BatchMaker(work, NUM_CONCEPTS, 0, device)
    torch.manual_seed(0)
    networks = build_networks(SIZES["tiny"], maker.front.t5, maker.front.clip)
    state = TrainingState(networks, 0.3)
    return Trainer(networks, maker, state, folder, 1.0)


def test_network_equals_diffusers_with_the_same_weights():
    torch.manual_seed(0)
    theirs = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=2, attention_head_dim=64,
        num_attention_heads=2, joint_attention_dim=48, pooled_projection_dim=32, guidance_embeds=True,
        axes_dims_rope=(8, 28, 28),
    )  # fmt: skip
    ours = Transformer(Shape(2, 64, 1, 2, 48, 32, (8, 28, 28)))
    ours.load_state_dict(theirs.state_dict())
    img, txt, vec = torch.randn(2, 12, 64), torch.randn(2, 5, 48), torch.randn(2, 32)
    sigma, guidance, ids = torch.rand(2), torch.rand(2) * 5, image_ids(6, 8)
    with torch.no_grad():
        mine = ours(img, ids, (txt, vec), sigma, guidance)
        other = theirs(
            hidden_states=img, encoder_hidden_states=txt, pooled_projections=vec, timestep=sigma,
            guidance=guidance, img_ids=ids, txt_ids=torch.zeros(5, 3), return_dict=False,
        )[0]  # fmt: skip
    assert torch.allclose(mine, other, atol=1e-5)


def test_a_cut_phase_goes_on_from_its_file(work, tmp_path):
    first = trainer(work, tmp_path)
    first.run(PHASE, Budget(seconds=0.5, phase_seconds=60, save_every=60))
    saved = read_progress(tmp_path / STATE_FILE)
    assert saved.phase == "small"
    assert 0 < saved.phase_steps == saved.steps
    second = trainer(work, tmp_path)
    second.state.load(tmp_path)
    assert second.state.progress == saved
    for name, master in first.state.masters.items():
        assert torch.equal(master, second.state.masters[name])
        assert torch.equal(first.state.average[name], second.state.average[name])
    second.run(PHASE, Budget(seconds=0.5, phase_seconds=60, save_every=60))
    assert read_progress(tmp_path / STATE_FILE).steps > saved.steps
    assert read_progress(tmp_path / STATE_FILE).phase_seconds > saved.phase_seconds


def test_a_finished_phase_does_nothing_more(work, tmp_path):
    run = trainer(work, tmp_path)
    run.state.progress = Progress(phase="small", phase_seconds=10.0, steps=3)
    run.run(PHASE, Budget(seconds=5, phase_seconds=10, save_every=60))
    assert read_progress(tmp_path / STATE_FILE).steps == 3


def test_distillation_keeps_one_teacher_over_its_calls(work, tmp_path):
    phase = Phase("distill", PHASE.canvases, ((16, 1.0),), 200, 1e-3, 1e-3, 1.5, distill=True)
    trainer(work, tmp_path).run(phase, Budget(seconds=0.3, phase_seconds=60, save_every=60))
    teacher = (tmp_path / "teacher.safetensors").read_bytes()
    again = trainer(work, tmp_path)
    again.state.load(tmp_path)
    again.run(phase, Budget(seconds=0.3, phase_seconds=60, save_every=60))
    assert (tmp_path / "teacher.safetensors").read_bytes() == teacher


def test_word_vectors_are_carried_by_piece(work, tmp_path):
    run = trainer(work, tmp_path)
    run.state.save(tmp_path)
    wider = tmp_path / "wider"
    build_t5_tokenizer(["zebra", "a", "cat"], {"cat"}).save_pretrained(wider / "tokenizer_2")
    build_clip_tokenizer(["a cat", "zebra"], 300).save_pretrained(wider / "tokenizer")
    front = TextFront(wider)
    networks = build_networks(SIZES["tiny"], front.t5, front.clip)
    new_pieces = carry_over(networks, front, tmp_path / STATE_FILE, work)
    assert new_pieces > 0
    old = run.networks.t5.get_input_embeddings().weight
    new = networks.t5.get_input_embeddings().weight
    for piece in ("▁a", "▁cat", "▁Cat"):
        row, before = front.t5.get_vocab()[piece], run.maker.front.t5.get_vocab()[piece]
        assert torch.equal(new[row], old[before])


def test_labels_answer_every_question_of_every_scene(work, tmp_path):
    maker = trainer(work, tmp_path).maker
    scenes = [maker.sampler.draw() for _ in range(300)]
    answers = labels(scenes, NUM_CONCEPTS)
    sizes = torch.tensor(label_sizes(NUM_CONCEPTS))
    assert answers.shape == (300, len(sizes))
    assert (answers < sizes).all()
    assert (answers >= 0).all()
