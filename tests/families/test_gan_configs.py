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
@pytest.mark.parametrize("penalty", ["r1_weight", "r2_weight", "gp_weight"])
def test_a_penalty_under_batch_norm_is_refused_with_the_reason(family, penalty):
    with pytest.raises(ConfigError, match=r"needs critic_norm=layer or none.*depends on the"):
        config(family, adversarial={penalty: 1.0})
    for norm in ("layer", "none"):
        config(family, adversarial={penalty: 1.0}, model={"critic_norm": norm})
    config(family, data={"kind": "synthetic", "image_size": 28}, adversarial={penalty: 1.0})
    config(family, adversarial={penalty: 1.0}, model={"kind": "residual"})


@pytest.mark.parametrize("family", ["dcgan", "cgan"])
def test_spectral_norm_besides_a_norm_is_refused_with_the_reason(family):
    bounded = {"objective": "wasserstein", "spectral_norm": True}
    for norm in (None, "batch", "layer"):
        with pytest.raises(ConfigError, match=r"spectral_norm needs critic_norm=none.*undoes the"):
            config(family, adversarial=bounded, model={"critic_norm": norm})
    config(family, adversarial=bounded, model={"critic_norm": "none"})
    config(family, adversarial=bounded, model={"kind": "residual"})
    config(family, data={"kind": "synthetic", "image_size": 28}, adversarial=bounded)


def test_a_norm_for_the_28_px_critic_is_refused():
    with pytest.raises(ConfigError, match="the critic for 28 px has no norm"):
        config(
            "dcgan",
            data={"kind": "synthetic", "image_size": 28},
            model={"critic_norm": "batch"},
        )


def test_the_conditional_family_needs_labels_and_the_other_does_not():
    assert load("cgan").needs(config("cgan")) == {"image", "label"}
    assert load("dcgan").needs(config("dcgan")) == {"image"}


def test_a_family_with_a_typo_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'dcgan'"):
        load("dcgna")
    assert {"cgan", "dcgan"} <= set(names())


def test_settings_without_effect_are_refused():
    with pytest.raises(ConfigError, match="no penalty to space"):
        config("dcgan", adversarial={"penalty_every": 4})
    with pytest.raises(ConfigError, match=r"says nothing to optim.schedule=constant"):
        config("dcgan", optim={"constant_steps": 10})
    with pytest.raises(ConfigError, match=r"leave no step of trainer.steps=100 to fall in"):
        config(
            "dcgan",
            optim={"schedule": "linear", "constant_steps": 100},
            trainer={"steps": 100},
        )


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"kind": "mlp", "width": 32}, "width says nothing to kind=mlp"),
        ({"kind": "mlp", "conditioning": "projection"}, "conditioning says nothing to kind=mlp"),
        ({"kind": "residual", "embed_dim": 8}, "embed_dim says nothing to kind=residual"),
        ({"kind": "residual", "critic_norm": "none"}, "critic_norm says nothing to kind=residual"),
        ({"auxiliary_weight": 0.5}, "auxiliary_weight needs conditioning=auxiliary"),
        ({"embed_dim": 8, "generator_norm": "conditional"}, "no label joins the noise"),
    ],
)
def test_settings_that_a_kind_of_network_lacks_are_refused(model, reason):
    with pytest.raises(ConfigError, match=reason):
        config("cgan", model=model)


def test_a_residual_network_is_for_32_and_64_px():
    for family in ("dcgan", "cgan"):
        with pytest.raises(ConfigError, match=r"image_size=28.*32 and 64"):
            config(
                family,
                model={"kind": "residual"},
                data={"kind": "synthetic", "image_size": 28},
            )
    with pytest.raises(ConfigError, match="critic_dropout says nothing to kind=residual"):
        config("dcgan", model={"kind": "residual", "critic_dropout": 0.1})


def test_the_network_of_2014_draws_uniform_noise():
    assert config("cgan", model={"kind": "mlp"}).model.latent == "uniform"
    assert config("cgan").model.latent == "normal"
    assert config("cgan", model={"latent": "uniform"}).model.latent == "uniform"


def test_what_follows_from_other_settings_is_written_out():
    small = {"kind": "synthetic", "image_size": 28}
    assert config("dcgan", data=small).model.critic_norm == "none"
    assert config("dcgan").model.critic_norm == "batch"
    widths = {
        size: config("cgan", model={"kind": "residual"}, data=small | {"image_size": size})
        for size in (32, 64)
    }
    assert {size: found.model.width for size, found in widths.items()} == {32: 256, 64: 64}
    assert config("dcgan", optim={"lr": 1e-3}).optim.critic_lr == 1e-3
    assert config("cgan").model.embed_dim == 50
    assert config("cgan", model={"generator_norm": "conditional"}).model.embed_dim is None
    # What one run fills in reaches no other.
    assert config("dcgan").model.critic_norm == "batch"
