"""The head that critics share: how labels come in, and what a verdict holds."""

import pytest
import torch

from genkit.nn.critics import DCGANCritic, Head, sum_pool, with_label
from genkit.nn.residual import PooledLinear, ResidualCritic

CRITICS = [(DCGANCritic, 28), (DCGANCritic, 32), (ResidualCritic, 32), (ResidualCritic, 64)]
IDS = ["dcgan28", "dcgan32", "residual32", "residual64"]
every_critic = pytest.mark.parametrize(("critic", "size"), CRITICS, ids=IDS)


def images_of(size: int) -> torch.Tensor:
    return torch.randn(3, 1, size, size, generator=torch.Generator().manual_seed(0))


@every_critic
@pytest.mark.parametrize("conditioning", ["channels", "projection"])
def test_the_logit_depends_on_the_label(critic, size, conditioning):
    torch.manual_seed(0)  # once in many first weights a label changes no logit
    network = critic(1, size, 4, num_classes=5, conditioning=conditioning).eval()
    images = images_of(size)
    first = network(images, torch.tensor([0, 1, 2]))
    second = network(images, torch.tensor([0, 4, 3]))
    assert first.logits.shape == (3,)
    assert first.classes is None
    assert (first.logits == second.logits).tolist() == [True, False, False]


@every_critic
def test_an_auxiliary_critic_says_the_class_and_never_sees_the_label(critic, size):
    network = critic(1, size, 4, num_classes=5, conditioning="auxiliary").eval()
    first = network(images_of(size), torch.tensor([0, 1, 2]))
    second = network(images_of(size), torch.tensor([3, 3, 3]))
    assert first.classes.shape == (3, 5)
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(first.classes, second.classes)


@every_critic
def test_a_projection_with_a_zero_embedding_is_the_unconditional_critic(critic, size):
    plain = critic(1, size, 4).eval()
    projection = critic(1, size, 4, num_classes=5, conditioning="projection").eval()
    missing, unexpected = projection.load_state_dict(plain.state_dict(), strict=False)
    assert (missing, unexpected) == (["head.embed.weight"], [])
    torch.nn.init.zeros_(projection.head.embed.weight)
    images = images_of(size)
    logits = projection(images, torch.tensor([0, 1, 2])).logits
    assert torch.equal(logits, plain(images).logits)


@every_critic
def test_without_classes_the_label_and_its_conditioning_mean_nothing(critic, size):
    plain = critic(1, size, 4, conditioning="projection")
    assert plain.state_dict().keys() == critic(1, size, 4).state_dict().keys()


def test_the_projection_is_the_product_with_the_sum_of_the_features():
    head = Head(4, lambda outputs: PooledLinear(4, outputs), 3, "projection")
    features, label = torch.randn(2, 4, 5, 5), torch.tensor([2, 0])
    phi = torch.stack([image.flatten(1).sum(1) for image in features])  # (B, F)
    psi = phi @ head.to_logit.weight[0] + head.to_logit.bias
    inner = torch.stack([head.embed.weight[2] @ phi[0], head.embed.weight[0] @ phi[1]])
    assert torch.allclose(head(features, label).logits, psi + inner, atol=1e-5)


def test_pooling_is_a_sum_and_no_mean():
    assert sum_pool(torch.ones(2, 3, 4, 5)).tolist() == [[20.0] * 3] * 2


def test_the_class_is_joined_to_the_image_as_a_channel_of_ones():
    image = torch.randn(2, 3, 4, 4)
    joined = with_label(image, torch.tensor([1, 0]), 2)
    assert torch.equal(joined[:, :3], image)
    assert (joined[0, 3] == 0).all()
    assert (joined[0, 4] == 1).all()
    assert (joined[1, 3] == 1).all()
    assert (joined[1, 4] == 0).all()
