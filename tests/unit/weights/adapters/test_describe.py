"""What is no adapter, or one for another model, is refused by the names of the file and the tensor."""

from pathlib import Path

import pytest
import torch

from photogram.core.errors import CheckpointError
from photogram.model.params import FluxParams
from photogram.model.transformer import Flux
from photogram.weights.adapters.describe import describe_adapter
from photogram.weights.adapters.load import load_adapter
from tests.adapters import State, kohya, layer_shapes, random_lora, save, without

PARAMS = FluxParams(16, 16, 8, 24, 32, 2, 1, 2, (4, 4, 8), guidance_embed=True)
BLOCK = "transformer.transformer_blocks.0.attn.to_q"


def whole() -> State:
    return random_lora(layer_shapes(PARAMS, "diffusers"), 3)


def refusal(path: Path, state: State, **metadata: str) -> str:
    with pytest.raises(CheckpointError) as refused:
        describe_adapter(save(path, state, **metadata), PARAMS)
    assert str(path) in refused.value.message
    return refused.value.message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.safetensors"


def test_every_layer_is_found(path: Path) -> None:
    file = describe_adapter(save(path, whole()), PARAMS)
    assert file.naming == "diffusers"
    assert {change.rank for change in file.changes} == {3}
    assert len(file.changes) == len(layer_shapes(PARAMS, "diffusers"))
    assert file.num_ignored == 0


def test_text_encoders_are_left_out_and_counted(path: Path) -> None:
    text = random_lora({"text_model.encoder.layers.0.mlp.fc1": (8, 8)}, 2, prefix="text_encoder.")
    te1 = kohya(random_lora({"text_model_encoder_layers_0_mlp_fc1": (8, 8)}, 2), prefix="lora_te1_")
    assert describe_adapter(save(path, whole() | text | te1), PARAMS).num_ignored == 5
    assert "changes nothing of the transformer" in refusal(path, text)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        (f"{BLOCK}.lora_A.weight", (3, 33), "[3, 33], but this model's layer asks for [3, 32]"),
        (f"{BLOCK}.lora_A.weight", (0, 32), "[0, 32], but this model's layer asks for [1, 32]"),
        (f"{BLOCK}.lora_A.weight", (), "[], but this model's layer asks for [1, 32]"),
        (f"{BLOCK}.lora_B.weight", (32, 4), "[32, 4], but this model's layer asks for [32, 3]"),
        (f"{BLOCK}.lora_B.bias", (31,), "[31], but this model's layer asks for [32]"),
        (f"{BLOCK}.alpha", (2,), "[2], it must be one number"),
        (f"{BLOCK}.dora_scale", (32, 1), "is DoRA's"),
        (f"{BLOCK}.lora_magnitude_vector", (32,), "is DoRA's"),
        (f"{BLOCK}.lokr_w1", (2, 2), "is LoKr's, not LoRA's"),
        (f"{BLOCK}.hada_w1_a", (2, 2), "is LoHa's, not LoRA's"),
        (f"{BLOCK}.diff_b", (32,), "is the difference of a whole tensor"),
        ("double_blocks.0.img_attn.norm.query_norm.scale", (16,), "is a norm of its own"),
        ("lora_unet_down_blocks_1_attn.alpha", (), "is Stable Diffusion's"),
        ("transformer.transformer_blocks.1.attn.to_q.lora_A.weight", (3, 32), "does not have"),
        ("transformer.position", (3,), "is nothing that an adapter (LoRA) has"),
        ("transformer_blocks.0.attn.to_q.lora_A.weight", (3, 32), "are of the same layer"),
    ],
)
def test_what_does_not_fit_is_refused(
    path: Path, name: str, shape: tuple[int, ...], words: str
) -> None:
    message = refusal(path, whole() | {name: torch.zeros(shape)})
    assert words in message
    assert name in message


def test_half_of_a_pair_is_refused(path: Path) -> None:
    message = refusal(path, without(whole(), f"{BLOCK}.lora_B"))
    assert f"{BLOCK}.lora_A.weight is there, but its other half is missing" in message


def test_numbers_that_are_none_are_refused(path: Path) -> None:
    half = whole() | {f"{BLOCK}.lora_A.weight": torch.zeros(3, 32, dtype=torch.int32)}
    assert "is of type I32" in refusal(path, half)
    file = describe_adapter(
        save(path, whole() | {f"{BLOCK}.alpha": torch.tensor(float("nan"))}), PARAMS
    )
    with pytest.raises(CheckpointError, match=r"to_q\.alpha is nan, it must be finite"):
        load_adapter(file, Flux(PARAMS), torch.device("cpu"), torch.float32)


def test_two_namings_at_once_are_refused(path: Path) -> None:
    other = random_lora(layer_shapes(PARAMS, "Black Forest Labs"), 3, prefix="")
    assert "mixes the names of Black Forest Labs and diffusers" in refusal(path, whole() | other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "lora_adapter_metadata in its header is not a JSON object"),
        ("[]", "is not a JSON object"),
        ('{"transformer.r": 3}', "lora_alpha is missing"),
        ('{"transformer.lora_alpha": "3"}', 'lora_alpha is "3", it must be a number'),
        ('{"transformer.lora_alpha": 3, "transformer.use_dora": true}', "DoRA is not supported"),
        (
            '{"transformer.lora_alpha": 3, "transformer.alpha_pattern": {"(a+)+": 1}}',
            "is more than a layer's name",
        ),
    ],
)
def test_damaged_numbers_of_peft_are_refused(path: Path, text: str, words: str) -> None:
    assert words in refusal(path, whole(), lora_adapter_metadata=text)


def test_cut_file_and_pickle_are_refused(path: Path, tmp_path: Path) -> None:
    save(path, whole())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"mine\.safetensors is truncated or damaged"):
        describe_adapter(path, PARAMS)
    pickle = tmp_path / "mine.pt"
    pickle.write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match="is a pickle"):
        describe_adapter(pickle, PARAMS)


def test_file_that_shrinks_while_it_is_read_is_told(path: Path) -> None:
    file = describe_adapter(save(path, whole()), PARAMS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"mine\.safetensors ends within"):
        load_adapter(file, Flux(PARAMS), torch.device("cpu"), torch.float32)


def test_halves_of_the_last_modulation_change_places(path: Path) -> None:
    """diffusers has its scale before its shift, everybody else after it."""
    name = "norm_out.linear"
    state = random_lora({name: (64, 32)}, 2)
    flux = Flux(PARAMS)
    adapter = load_adapter(
        describe_adapter(save(path, state), PARAMS), flux, torch.device("cpu"), torch.float32
    )
    ((update,),) = adapter.updates.values()
    expected = torch.cat(state[f"transformer.{name}.lora_B.weight"].chunk(2)[::-1])
    assert torch.equal(update.up, expected)


def test_parts_of_a_layer_share_what_they_have_in_common(path: Path) -> None:
    fused = random_lora({"single_blocks.0.linear1": (7 * 32, 32)}, 2, prefix="")
    flux = Flux(PARAMS)
    adapter = load_adapter(
        describe_adapter(save(path, fused), PARAMS), flux, torch.device("cpu"), torch.float32
    )
    single = flux.single_blocks[0]
    (qkv,), (mlp,) = adapter.updates[single.qkv], adapter.updates[single.mlp]
    assert qkv.down is mlp.down
    assert (len(qkv.up), len(mlp.up)) == (3 * 32, 4 * 32)
    assert adapter.size_bytes == 4 * (2 * 32 + 7 * 32 * 2)


def test_bias_of_an_adapter_is_loaded(path: Path) -> None:
    state = without(whole(), "single") | {f"{BLOCK}.lora_B.bias": torch.ones(32)}
    file = describe_adapter(save(path, state), PARAMS)
    flux = Flux(PARAMS)
    adapter = load_adapter(file, flux, torch.device("cpu"), torch.float32)
    updates = adapter.updates[flux.double_blocks[0].img_attn.qkv]
    assert [update.begin for update in updates if update.bias is not None] == [0]
