import json
from decimal import Decimal
from pathlib import Path

import pytest

from photogram.bootstrap.models import make_pool, model_folder, served_models
from photogram.core.errors import CheckpointError, ConfigurationError
from photogram.core.settings import Settings, load_settings
from tests.tiny import write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A [dev] and a [schnell]."""
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / "dev")
    write_checkpoint(folder / "quick", guidance_embeds=False, dynamic_shift=False)
    return folder


def test_models_have_the_steps_of_their_kind_and_the_settings_prices(folder: Path) -> None:
    settings = Settings(model=(folder / "dev", folder / "quick"), price_per_step=Decimal("0.5"))
    dev, quick = served_models(settings)
    assert (dev.info.slug, dev.info.default_steps, dev.info.max_steps) == ("dev", 25, 50)
    assert (quick.info.slug, quick.info.default_steps, quick.info.max_steps) == ("quick", 4, 12)
    assert dev.prices == quick.prices
    assert dev.prices.per_step == Decimal("0.5")


def test_a_variable_may_hold_several_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOGRAM_MODEL", f"{folder / 'quick'}:{folder / 'dev'}")
    assert [each.info.slug for each in served_models(load_settings())] == ["quick", "dev"]
    assert model_folder(load_settings()) == folder / "quick"
    assert model_folder(load_settings(model=folder / "dev")) == folder / "dev"
    monkeypatch.setenv("PHOTOGRAM_MODEL", f"{folder / 'quick'}:")
    with pytest.raises(ConfigurationError, match="PHOTOGRAM_MODEL"):
        load_settings()


def test_a_file_says_what_is_special_of_each(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        f'[[model]]\npath = "{folder}/dev"\ndtype = "bfloat16"\n[[model]]\npath = "{folder}/quick"\n'
        'slug = "fast"\nmax_steps = 3\nprice_per_image = 0.25\n'
    )
    dev, fast = served_models(Settings(models=file))
    assert (dev.config.dtype, fast.config.dtype) == ("bfloat16", "auto")
    assert 0 < dev.size_bytes < fast.size_bytes  # two bytes a number, and four
    assert (fast.info.slug, fast.info.default_steps, fast.info.max_steps) == ("fast", 3, 3)
    assert fast.prices.per_image == Decimal("0.25")


def test_a_name_of_ones_own_hides_no_approximation(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(f'[[model]]\npath = "{folder}/dev"\nslug = "fast"\ndtype = "int8"\n')
    (model,) = served_models(Settings(models=file, step_cache=0.1))
    assert model.info.slug == "fast-int8-cache"


def test_a_checkpoint_may_say_how_many_steps_it_wants(folder: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "tuned", guidance_embeds=False, dynamic_shift=False)
    profile = checkpoint / "photogram.json"
    content = json.loads(profile.read_text())
    profile.write_text(json.dumps(content | {"default_steps": 8, "max_steps": 16}))
    (tuned,) = served_models(Settings(model=checkpoint))
    assert (tuned.info.default_steps, tuned.info.max_steps) == (8, 16)
    profile.write_text(json.dumps(content | {"default_steps": 13}))
    with pytest.raises(CheckpointError, match="default_steps is 13"):
        served_models(Settings(model=checkpoint))


def test_settings_that_contradict_each_other_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="both a model and a file"):
        served_models(Settings(model=folder / "dev", models=tmp_path / "models.toml"))
    file = tmp_path / "steps.toml"
    file.write_text(f'[[model]]\npath = "{folder}/dev"\ndefault_steps = 9\nmax_steps = 8\n')
    with pytest.raises(ConfigurationError, match="more than max_steps"):
        served_models(Settings(models=file))


def test_a_model_that_has_no_room_is_refused_before_anything_starts(folder: Path) -> None:
    settings = Settings(model=folder / "dev").model_copy(update={"models_memory": 1000})
    with pytest.raises(ConfigurationError, match="dev takes about"):
        make_pool(settings, served_models(settings))
