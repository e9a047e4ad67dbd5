"""What the two GAN families accept, and how they refuse the rest."""

import pytest

from genkit.errors import ConfigError
from genkit.family import load, names, resolve


def config(family: str, **sections):
    return resolve({"family": family, **sections}, "test.yaml")


@pytest.mark.parametrize("family", ["dcgan", "cgan"])
def test_momentum_and_rate_are_those_of_the_paper(family):
    optim = config(family, optim={"schedule": "linear"}).optim
    assert optim.betas == (0.5, 0.999)
    assert optim.lr == 2e-4


@pytest.mark.parametrize("family", ["dcgan", "cgan"])
def test_a_size_that_the_networks_lack_is_refused(family):
    with pytest.raises(ConfigError, match=r"image_size=48.*28 or a power of two"):
        config(family, data={"kind": "synthetic", "image_size": 48})


@pytest.mark.parametrize("family", ["dcgan", "cgan"])
def test_a_penalty_under_batch_norm_is_refused_with_the_reason(family):
    with pytest.raises(ConfigError, match=r"r1_weight > 0 needs critic_norm=none.*depends on the"):
        config(family, model={"r1_weight": 1.0})
    assert config(family, model={"r1_weight": 1.0, "critic_norm": "none"}).model.r1_weight == 1
    small = {"kind": "synthetic", "image_size": 28}
    assert config(family, data=small, model={"r1_weight": 1.0}).data.image_size == 28


def test_a_norm_for_the_28_px_critic_is_refused():
    with pytest.raises(ConfigError, match="the critic for 28 px has no norm"):
        config(
            "dcgan",
            data={"kind": "synthetic", "image_size": 28},
            model={"critic_norm": "batch"},
        )


def test_the_conditional_family_needs_labels_and_the_other_does_not():
    assert load("cgan").needs == {"image", "label"}
    assert load("dcgan").needs == {"image"}


def test_a_family_with_a_typo_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'dcgan'"):
        load("dcgna")
    assert {"cgan", "dcgan"} <= set(names())


def test_settings_without_effect_are_refused():
    with pytest.raises(ConfigError, match="no penalty to space"):
        config("dcgan", model={"r1_every": 4})
    with pytest.raises(ConfigError, match=r"says nothing to optim.schedule=constant"):
        config("dcgan", optim={"constant_steps": 10})
    with pytest.raises(ConfigError, match=r"leave no step of trainer.steps=100 to fall in"):
        config(
            "dcgan",
            optim={"schedule": "linear", "constant_steps": 100},
            trainer={"steps": 100},
        )
