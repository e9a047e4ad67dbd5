"""Generators in the layout of CycleGAN's authors: read, renamed, and the same to the last bit."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from published_at_hand import published, resnet, unet
from torch import nn

from genkit.errors import WeightsError
from genkit.nn.pretrained.cyclegan import read_generator


def saved(state, folder: Path) -> Path:
    torch.save(state, folder / "latest_net_G_A.pth")
    return folder / "latest_net_G_A.pth"


NETWORKS = {
    "resnet-9": resnet,
    "resnet-6": lambda: resnet(blocks=6, channels=(1, 3)),
    "resnet-dropout": lambda: resnet(blocks=2, dropout=True),
    "resnet-batch": lambda: resnet(blocks=2, norm=nn.BatchNorm2d),
    "resnet-batch-dropout": lambda: resnet(blocks=2, norm=nn.BatchNorm2d, dropout=True),
    "u-net-batch": unet,
    "u-net-instance": lambda: unet(nn.InstanceNorm2d),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_in_the_authors_layout_makes_the_pictures_of_the_network_it_was_saved_of(
    name, tmp_path
):
    theirs = published(NETWORKS[name]())
    ours = read_generator(saved(theirs.state_dict(), tmp_path))
    image = torch.rand(2, ours.config["in_channels"], 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.equal(ours(image), theirs.model(image))


def test_the_keys_of_a_resnet_of_nine_blocks_are_the_public_ones():
    layers = {key.rpartition(".")[0] for key in resnet().state_dict()}
    blocks = {f"model.{i}.conv_block.{j}" for i in range(10, 19) for j in (1, 5)}
    assert layers == {"model.1", "model.4", "model.7", *blocks, "model.19", "model.22", "model.26"}


def test_a_wrapped_file_and_one_with_statistics_of_instance_norms_are_read_too(tmp_path, caplog):
    theirs = published(resnet(blocks=2))
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    state |= {
        "module.model.2.running_mean": torch.ones(4),
        "module.model.2.running_var": torch.ones(4),
    }
    with caplog.at_level(logging.INFO, "genkit"):
        ours = read_generator(saved(state, tmp_path))
    assert "2 statistics of instance norms are left out" in caplog.text
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs.model(image))


def test_that_a_u_net_is_tested_otherwise_by_its_authors_is_said(tmp_path, caplog):
    said = {}
    for name in ("u-net-batch", "u-net-instance", "resnet-batch"):
        caplog.clear()
        with caplog.at_level(logging.INFO, "genkit"):
            read_generator(saved(published(NETWORKS[name]()).state_dict(), tmp_path))
        said[name] = caplog.text
    assert "tested by its authors' script with dropout on and batch norms by" in said["u-net-batch"]
    assert "no dropout and the running averages of batch norms (.eval())" in said["u-net-batch"]
    assert "with dropout on, where" in said["u-net-instance"]
    assert "authors" not in said["resnet-batch"]


def test_a_critic_an_unfinished_file_and_other_networks_are_refused_in_a_line(tmp_path):
    critic = nn.Module()
    critic.model = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1))
    with pytest.raises(
        WeightsError, match=r"expected keys such as model.1.weight .* found model.0"
    ):
        read_generator(saved(critic.state_dict(), tmp_path))
    state = resnet(blocks=2).state_dict()
    with pytest.raises(WeightsError, match=r"lacks stages.down1.0.bias"):
        read_generator(saved({k: v for k, v in state.items() if k != "model.4.bias"}, tmp_path))
    with pytest.raises(WeightsError, match=r"has model.99.weight besides"):
        read_generator(saved(state | {"model.99.weight": torch.ones(1, 1)}, tmp_path))
    with pytest.raises(WeightsError, match=r"what they hold is not"):
        read_generator(saved(state | {"model.4.weight": torch.ones(3, 3, 3, 3)}, tmp_path))
    with pytest.raises(WeightsError, match="holds a list, expected a state dict"):
        read_generator(saved([1, 2], tmp_path))
    with pytest.raises(WeightsError, match="no such file"):
        read_generator(tmp_path / "none.pth")


def test_nothing_in_a_file_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    with pytest.raises(WeightsError, match="not a readable file of weights"):
        read_generator(saved({"model.1.weight": Evil()}, tmp_path))
    assert not (tmp_path / "executed").exists()
