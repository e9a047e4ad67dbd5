from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from scipy.stats import kstest

from genkit import random
from genkit.errors import PipelineError
from genkit.pipelines import NoiseToImage, latents, slerp
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Class


def test_slerp_begins_at_a_and_ends_at_b():
    a, b = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)


def test_slerp_of_orthogonal_unit_vectors_is_cosine_and_sine():
    a, b = torch.eye(2, dtype=torch.float64)
    for t in (0.25, 0.5, 2 / 3):
        angle = t * math.pi / 2
        expected = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        torch.testing.assert_close(slerp(a, b, t), expected)


def test_slerp_keeps_the_length_of_equally_long_vectors():
    a, b = torch.randn(2, 4, 9, dtype=torch.float64)
    b = b / b.norm(dim=1, keepdim=True) * a.norm(dim=1, keepdim=True)
    for t in (0.1, 0.5, 0.9):
        torch.testing.assert_close(slerp(a, b, t).norm(dim=1), a.norm(dim=1))


def test_slerp_moves_by_equal_angles():
    a, b = torch.randn(2, 1, 6, dtype=torch.float64)
    path = slerp(a / a.norm(), b / b.norm(), torch.linspace(0, 1, 9, dtype=torch.float64)[:, None])
    cosines = (path[1:] * path[:-1]).sum(1)
    torch.testing.assert_close(cosines, cosines[:1].expand(8))


def test_slerp_of_parallel_vectors_is_the_straight_line():
    a = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(slerp(a, 3 * a, 0.5), 2 * a)
    assert slerp(a, -a, 0.25).isfinite().all()


def test_a_latent_depends_on_seed_and_index_only():
    for kind in ("normal", "uniform"):
        whole = latents(3, range(20), 10, kind)
        torch.testing.assert_close(
            latents(3, [7, 2, 19], 10, kind), whole[[7, 2, 19]], rtol=0, atol=0
        )
        assert not torch.equal(latents(4, range(20), 10, kind), whole)
    torch.testing.assert_close(latents(3, [5], 10), random.rows(3, "latent", [5], (10,)))
    assert latents(0, [], 10, "uniform").shape == (0, 10)


def test_latents_have_the_distribution_they_are_named_after():
    assert kstest(latents(0, range(200), 100).flatten(), "norm").pvalue > 0.01
    flat = latents(0, range(200), 100, "uniform").flatten()
    assert kstest(flat, "uniform", args=(-1, 2)).pvalue > 0.01


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_images_do_not_depend_on_the_batch_size(make, latent):
    pipeline = make(3, latent=latent)
    whole = pipeline(20, seed=5, output="np").astype(int)
    assert whole.std() > 30
    for batch_size in (1, 7, 20, 64):
        again = pipeline(20, seed=5, batch_size=batch_size, output="np").astype(int)
        assert np.abs(again - whole).max() <= 1


def test_more_images_begin_with_the_same_ones(make):
    pipeline = make()
    few, many = pipeline(4, output="np"), pipeline(9, output="np")
    assert np.abs(few.astype(int) - many[:4]).max() <= 1


def test_three_outputs_show_the_same_images(make):
    pipeline = make()
    tensor, array, pictures = (pipeline(3, output=form) for form in ("tensor", "np", "pil"))
    assert tensor.shape == (3, 1, 16, 16)
    assert tensor.dtype == torch.float32
    assert tensor.min() >= 0
    assert tensor.max() <= 1
    assert array.shape == (3, 16, 16, 1)
    assert array.dtype == np.uint8
    assert [picture.mode for picture in pictures] == ["L"] * 3
    assert np.array_equal(np.stack([np.asarray(p) for p in pictures]), array[..., 0])
    assert np.abs(tensor.permute(0, 2, 3, 1).numpy() * 255 - array).max() <= 0.5 + 1e-4


def test_stream_gives_each_index_its_image_and_label(make):
    pipeline = make(3)
    whole = torch.from_numpy(pipeline(10, output="np")).permute(0, 3, 1, 2).int()
    seen = []
    for indices, made in pipeline.stream([9, 4, 0, 7, 1], batch_size=2):
        images = made["image"]
        assert images.dtype == torch.uint8
        assert made["label"].tolist() == [i % 3 for i in indices]
        assert (images.int() - whole[list(indices)]).abs().max() <= 1
        seen += indices
    assert seen == [9, 4, 0, 7, 1]
    assert next(iter(make().stream([0])))[1].keys() == {"image"}


def labels_of(pipeline: NoiseToImage, count: int, **asked: object) -> list[int]:
    rows, _ = pipeline.asked(**asked)
    return rows.read(range(count))["label"].tolist()


def test_labels_are_cycled_over_the_images(make):
    pipeline = make(5)
    assert labels_of(pipeline, 7) == [0, 1, 2, 3, 4, 0, 1]
    assert labels_of(pipeline, 5, label=[4, 2]) == [4, 2, 4, 2, 4]
    assert labels_of(pipeline, 3, label=1) == [1, 1, 1]
    all_ones, cycled = pipeline(4, label=1, output="np"), pipeline(4, label=[0, 1], output="np")
    assert np.abs(all_ones.astype(int) - cycled)[1::2].max() <= 1
    assert np.abs(all_ones.astype(int) - cycled)[0::2].max() > 1


def test_a_call_leaves_no_gradient_and_restores_the_mode(make):
    pipeline = make()
    pipeline.generator.train()
    before = {k: v.clone() for k, v in pipeline.generator.state_dict().items()}
    images = pipeline(4, output="tensor")
    assert not images.requires_grad
    assert pipeline.generator.training
    assert all(torch.equal(v, before[k]) for k, v in pipeline.generator.state_dict().items())


def test_a_call_does_not_touch_the_process_wide_random_state(make):
    pipeline = make()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    pipeline(2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_an_interpolation_has_the_two_images_at_its_ends(make, latent):
    pipeline = make(3, latent=latent)
    ends = pipeline(6, seed=2, label=1, output="np").astype(int)
    walk = pipeline.interpolate(5, 2, 7, seed=2, label=1, batch_size=3, output="np").astype(int)
    assert walk.shape == (7, 16, 16, 1)
    assert np.abs(walk[0] - ends[5]).max() <= 1
    assert np.abs(walk[-1] - ends[2]).max() <= 1
    assert len(pipeline.interpolate(count=2)) == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"count": 0}, "count: must be at least 1"),
        ({"batch_size": 0}, "batch_size: must be at least 1"),
        ({"output": "jpeg"}, "give one of pil, tensor, np"),
        ({"label": 3}, "label: 3 is no class; they are 0 to 2"),
        ({"label": [0, -1]}, "label: -1 is no class"),
        ({"label": []}, "label: the sequence is empty"),
        ({"batch_size": 16}, r"for 16 images give their count: pipeline\(16\)"),
        ({"num_inference_steps": 9}, "num_inference_steps: here that is steps"),
        ({"guidance_scale": 2.0}, "guidance_scale: here that is guidance"),
        ({"generator": torch.Generator()}, "generator: here that is seed"),
        ({"output_type": "np"}, "output_type: here that is output"),
        ({"callback_on_step_end": print}, r"pipeline\.on_step = function\(done, steps\)"),
        ({"num_images_per_prompt": 4}, "is the count, the first argument"),
        ({"class_labels": [1]}, "class_labels: here that is label"),
    ],
)
def test_a_wrong_call_says_what_is_expected(make, call, said):
    with pytest.raises(PipelineError, match=said):
        make(3)(**call)


def test_wrong_calls_of_other_kinds_say_what_is_expected(make):
    with pytest.raises(PipelineError, match="knows no classes"):
        make()(2, label=[0])
    with pytest.raises(PipelineError, match="at least its 2 ends"):
        make().interpolate(count=1)
    with pytest.raises(PipelineError, match="batch_size"):
        list(make().stream([1], batch_size=0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"latent_dim": 0}, "latent_dim: must be a whole number"),
        ({"image_size": "big"}, "image_size: must be a whole number"),
        ({"channels": 4}, "channels: must be 1"),
        ({"latent": "cauchy"}, "give normal or uniform"),
        ({"num_classes": 0}, "num_classes: must be a whole number"),
        ({"num_classes": 2, "class_names": ["a"]}, "expected 2 names"),
        ({"class_names": ["a"]}, "set num_classes too"),
    ],
)
def test_a_pipeline_refuses_settings_that_make_no_sense(make, options, said):
    with pytest.raises(PipelineError, match=said):
        NoiseToImage(make().generator, **options)


def test_more_classes_than_there_can_be_are_refused_at_once(make):
    generator = make(3).generator
    with pytest.raises(PipelineError, match="num_classes: at most 1,000,000, got 1,000,000,000"):
        NoiseToImage(generator, latent_dim=6, image_size=16, channels=1, num_classes=10**9)


def test_a_generator_that_makes_other_images_is_named(make):
    with pytest.raises(PipelineError, match=r"images of \(1, 16, 16\)"):
        NoiseToImage(make().generator, latent_dim=6, image_size=32, channels=1)(1)


def test_a_batch_size_may_be_given_where_several_images_are_asked_for(make):
    assert len(make(3)(label=[0, 1, 2], batch_size=64)) == 3
    assert len(make(3)(batch_size=1)) == 1
    one = MemoryRows("one", {"label": Class(3)}, {"label": torch.tensor([2])})
    assert len(make(3)(given=one, batch_size=64)) == 1  # as the last of several sets may be
    assert len(make(3)(5, batch_size=64)) == 5


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes."),
    ],
)
def test_memory_that_runs_out_asks_for_smaller_batches(make, error):
    def fail(*_: object) -> None:
        raise error

    pipeline = make()
    pipeline.generator.body.register_forward_pre_hook(fail)
    said = "batch_size: 9 images at a time don't fit the memory of cpu; give a smaller one"
    with pytest.raises(PipelineError, match=said):
        pipeline(9)
    with pytest.raises(PipelineError, match=said):
        pipeline.interpolate(0, 1, 9)


def test_another_error_of_a_network_stays_itself(make):
    def fail(*_: object) -> None:
        raise RuntimeError("shapes don't fit")

    pipeline = make()
    pipeline.generator.body.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes don't fit"):
        pipeline(9)


def test_a_pipeline_works_with_any_diffusers_network():
    class Constant(ModelMixin, ConfigMixin):
        def __init__(self) -> None:
            super().__init__()
            self.level = torch.nn.Parameter(torch.tensor(0.2))

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.level.expand(len(z), 3, 8, 8)

    images = NoiseToImage(Constant(), latent_dim=1, image_size=8, channels=3)(2, output="np")
    assert (images == round(1.2 * 127.5)).all()
