"""The moving average against its closed form."""

import copy

import torch
from torch import nn

from genkit.nn.generators import DCGANGenerator
from genkit.training.ema import EMA, side_by_side


def constant(value: float) -> nn.Module:
    network = nn.BatchNorm1d(1)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(value)
    return network


def test_the_average_of_a_jump_follows_a_geometric_series():
    # From 0, with the weight at 1 for n steps: 1 - d^n.
    ema = EMA({"net": constant(0.0)}, 0.9, warmup=False)
    for step in range(7):
        ema.update({"net": constant(1.0)}, step)
    torch.testing.assert_close(ema.networks["net"].weight, torch.full((1,), 1 - 0.9**7))


def test_floating_buffers_are_averaged_and_integer_ones_copied():
    ema = EMA({"net": constant(0.0)}, 0.9, warmup=False)
    ema.update({"net": constant(3.0)}, 0)
    network = ema.networks["net"]
    torch.testing.assert_close(network.running_var, torch.full((1,), 0.3))
    assert network.num_batches_tracked.item() == 3


def test_warm_up_limits_the_decay_of_early_steps():
    ema = EMA({"net": constant(0.0)}, 0.999, warmup=True)
    assert [ema.decay_at(t) for t in (0, 1, 90)] == [1 / 10, 2 / 11, 91 / 100]
    assert ema.decay_at(10**6) == 0.999


def test_the_average_is_apart_from_the_network_and_takes_no_gradient():
    network = constant(1.0)
    ema = EMA({"net": network}, 0.5, warmup=False)
    assert not any(p.requires_grad for p in ema.networks["net"].parameters())
    assert not ema.networks["net"].training
    network.weight.data.fill_(9.0)
    assert ema.networks["net"].weight.item() == 1.0


def test_the_average_follows_another_network_from_the_step_it_is_given():
    ema = EMA({"net": constant(0.0)}, 0.5, warmup=False)
    ema.update({"net": constant(1.0)}, 0)
    other = constant(3.0)
    ema.update({"net": other}, 1)
    assert ema.networks["net"].weight.item() == 1.75  # 0 -> 0.5 -> 1.75
    with torch.no_grad():
        other.weight.fill_(0.75)
    ema.update({"net": other}, 2)
    assert ema.networks["net"].weight.item() == 1.25


def test_the_average_follows_weights_that_were_loaded_into_its_network():
    network = constant(0.0)
    ema = EMA({"net": network}, 0.5, warmup=False)
    ema.update({"net": network}, 0)
    network.load_state_dict(constant(4.0).state_dict())
    ema.networks["net"].load_state_dict(constant(2.0).state_dict())
    ema.update({"net": network}, 1)
    assert ema.networks["net"].weight.item() == 3.0
    assert ema.networks["net"].num_batches_tracked.item() == 4


def test_tensors_moved_side_by_side_keep_their_values_strides_and_holders():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).to(
        memory_format=torch.channels_last
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    tensors = [*network.parameters(), network[1].running_var]
    before = [(t.detach().clone(), t.stride(), id(t)) for t in tensors]
    (buffer,) = side_by_side(tensors)
    for tensor, (value, stride, identity) in zip(tensors, before, strict=True):
        assert torch.equal(tensor, value)
        assert (tensor.stride(), id(tensor)) == (stride, identity)
        assert tensor.untyped_storage().data_ptr() == buffer.untyped_storage().data_ptr()
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    network(images)[0].pow(3).sum().backward()  # of all alike, batch norm would leave no gradient
    optimizer.step()
    assert not torch.equal(network[0].weight, before[0][0])
    buffer.zero_()
    assert all((tensor == 0).all() for tensor in tensors)


def test_a_network_whose_average_was_taken_is_saved_and_copied_as_before(tmp_path):
    network = DCGANGenerator(4, 1, 16, 4)
    ema = EMA({"net": network}, 0.5, warmup=False)
    ema.update({"net": network}, 0)
    ema.networks["net"].save_pretrained(tmp_path)
    loaded = DCGANGenerator.from_pretrained(tmp_path)
    copied = copy.deepcopy(network)
    for other in (loaded, copied):
        for a, b in zip(other.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(a, b)
