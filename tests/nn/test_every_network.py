"""What holds for every generator and every critic: reload, gradients, memory format, autocast."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from genkit.nn.critics import DCGANCritic, Verdict
from genkit.nn.generators import DCGANGenerator
from genkit.nn.perceptrons import MaxoutCritic, PerceptronGenerator
from genkit.nn.residual import ResidualCritic, ResidualGenerator

K = 3
LABEL = torch.tensor([0, 1, 2, 2])

GENERATORS: dict[str, Callable[[], nn.Module]] = {
    "dcgan28": lambda: DCGANGenerator(6, 1, 28, 4, K, 4),
    "dcgan28-norms": lambda: DCGANGenerator(6, 1, 28, 4, K, norm="conditional"),
    "dcgan32": lambda: DCGANGenerator(6, 1, 32, 4, K, 4),
    "dcgan32-norms": lambda: DCGANGenerator(6, 1, 32, 4, K, norm="conditional"),
    "residual32": lambda: ResidualGenerator(6, 1, 32, 4, K),
    "residual64": lambda: ResidualGenerator(6, 1, 64, 4, K),
    "perceptron": lambda: PerceptronGenerator(6, 1, 28, K, dropout=0),
}
CRITICS: dict[str, Callable[[], nn.Module]] = {
    "maxout": lambda: MaxoutCritic(1, 28, K, dropout=0, input_dropout=0),
    "dcgan-layer": lambda: DCGANCritic(1, 32, 4, K, norm="layer"),
    **{
        f"dcgan{size}-{how}": lambda size=size, how=how: DCGANCritic(1, size, 4, K, how)
        for size in (28, 32)
        for how in ("channels", "projection", "auxiliary")
    },
    **{
        f"residual{size}-{how}": lambda size=size, how=how: ResidualCritic(1, size, 4, K, how)
        for size in (32, 64)
        for how in ("channels", "projection", "auxiliary")
    },
}
every_generator = pytest.mark.parametrize("name", GENERATORS)
every_critic = pytest.mark.parametrize("name", CRITICS)


def image_for(critic: nn.Module) -> Tensor:
    size = critic.config["image_size"]
    return torch.rand(4, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def both(verdict: Verdict) -> Tensor:
    """All numbers of a verdict, (B, 1) or (B, 1 + K)."""
    logits = verdict.logits[:, None]
    return logits if verdict.classes is None else torch.cat([logits, verdict.classes], dim=1)


@every_generator
def test_a_saved_generator_comes_back_with_its_images(name, tmp_path):
    generator = GENERATORS[name]()
    z = torch.randn(4, 6)
    generator(z, LABEL)  # moves the running moments
    generator.eval().save_pretrained(tmp_path)
    again = type(generator).from_pretrained(tmp_path).eval()
    assert torch.equal(again(z, LABEL), generator(z, LABEL))


@every_critic
def test_a_saved_critic_comes_back_with_its_verdict(name, tmp_path):
    critic = CRITICS[name]().eval()
    critic.save_pretrained(tmp_path)
    again = type(critic).from_pretrained(tmp_path).eval()
    image = image_for(critic)
    assert torch.equal(both(again(image, LABEL)), both(critic(image, LABEL)))


@every_generator
def test_gradients_reach_every_weight_of_a_generator(name):
    torch.manual_seed(0)
    generator = GENERATORS[name]().eval()  # in training a norm takes a bias before it away
    images = generator(torch.randn(4, 6), LABEL)
    (images * torch.randn_like(images)).sum().backward()
    assert [n for n, p in generator.named_parameters() if not p.grad.any()] == []


@every_critic
def test_gradients_reach_every_weight_of_a_critic(name):
    torch.manual_seed(0)
    critic = CRITICS[name]()
    out = both(critic(image_for(critic), LABEL))
    (out * torch.randn_like(out)).sum().backward()
    assert [n for n, p in critic.named_parameters() if not p.grad.any()] == []


@every_generator
def test_a_generator_makes_the_same_images_channels_last(name):
    generator = GENERATORS[name]().eval()
    z = torch.randn(4, 6)
    images = generator(z, LABEL)
    generator.to(memory_format=torch.channels_last)
    assert torch.allclose(generator(z, LABEL), images, atol=1e-5)


@every_critic
def test_a_critic_says_the_same_channels_last(name):
    critic = CRITICS[name]().eval()
    image = image_for(critic)
    said = both(critic(image, LABEL))
    critic.to(memory_format=torch.channels_last)
    image = image.to(memory_format=torch.channels_last)
    assert torch.allclose(both(critic(image, LABEL)), said, rtol=1e-4, atol=1e-5)


@every_generator
def test_a_generator_trains_under_autocast(name):
    generator = GENERATORS[name]()
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(torch.randn(4, 6), LABEL)
    images.float().square().mean().backward()
    assert images.isfinite().all()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in generator.parameters())


@every_critic
def test_a_critic_says_nearly_the_same_under_autocast(name):
    torch.manual_seed(0)
    critic = CRITICS[name]()
    image = image_for(critic)
    exact = both(critic(image, LABEL))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = both(critic(image, LABEL))
    rounded.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in critic.parameters())
    spread = exact.abs().max()  # bfloat16 has 8 bits: a few roundings are a few per cent
    assert (rounded - exact).abs().max() < 0.05 * spread
