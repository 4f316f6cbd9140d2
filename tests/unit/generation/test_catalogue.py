import pytest
from msgspec.structs import replace

from photogram.core.errors import ConfigurationError, NotFoundError
from photogram.engine.fake import FAKE_MODEL
from tests.unit.generation.catalogues import FAST_MODEL, catalogue_of


def test_every_model_has_its_slug_and_the_default_one_another_name() -> None:
    catalogue = catalogue_of(FAKE_MODEL, FAST_MODEL)
    assert list(catalogue.names) == ["flux-dev", "fake", "fast", "flux-schnell"]
    assert catalogue.find("flux-dev") is catalogue.find("fake") is catalogue.default
    assert catalogue.find("flux-schnell").model == FAST_MODEL
    assert [offer.name for offer in catalogue.offers] == ["flux-dev", "fast"]


def test_a_model_of_that_name_comes_before_an_alias() -> None:
    named = replace(FAST_MODEL, slug="flux-schnell")
    assert catalogue_of(FAKE_MODEL, FAST_MODEL, named).find("flux-schnell").model == named


@pytest.mark.parametrize("name", ["sdxl", "", None, 5, ["fake"]])
def test_another_name_is_told_which_there_are(name: object) -> None:
    with pytest.raises(NotFoundError, match="flux-dev, fake") as refused:
        catalogue_of().find(name)
    assert refused.value.error_code == "model_not_found"


@pytest.mark.parametrize("slug", ["fake", "flux-dev"])
def test_two_models_of_one_name_are_refused(slug: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{slug}'"):
        catalogue_of(FAKE_MODEL, replace(FAST_MODEL, slug=slug))


def test_a_default_model_may_be_called_flux_dev() -> None:
    catalogue = catalogue_of(replace(FAKE_MODEL, slug="flux-dev"), FAST_MODEL)
    assert list(catalogue.names) == ["flux-dev", "fast", "flux-schnell"]


def test_jobs_are_known_by_slugs_and_shown_by_names() -> None:
    catalogue = catalogue_of(FAKE_MODEL, FAST_MODEL)
    assert catalogue.has("fast")
    assert catalogue.has("flux-dev")  # a job of a release that kept no slug
    assert not catalogue.has("flux-schnell")  # another model may answer to it tomorrow
    assert catalogue.public_name("fake") == "flux-dev"
    assert catalogue.public_name("gone") == "gone"
    assert catalogue.slugs_called("FLUX") == ("fake",)
