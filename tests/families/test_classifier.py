import pytest
import torch
import torch.nn.functional as F
from families_at_hand import tiny, trainer
from sets_at_hand import ATTRIBUTES, celeba

from genkit.errors import ConfigError, DataError
from genkit.families.classifier import degraded
from genkit.family import resolve
from genkit.report import write_report
from genkit.rows.columns import Class, Flags
from genkit.verbs.evaluate import evaluate_samples
from genkit.verbs.train import train


def config(**sections):
    return resolve({"family": "classifier", **sections}, "test.yaml")


def attributes(root, **changes):
    data = {"kind": "celeba", "root": str(root), "image_size": 8, "batch_size": 4}
    model = {"answers": "attributes", "width": 2, "units": 8}
    return tiny("classifier", data=data, model=model, **changes)


def test_levels_follow_from_the_size_and_are_written_out():
    assert config().model.levels == 3
    assert config(data={"image_size": 128}).model.levels == 5
    assert config(data={"image_size": 28}).model.levels == 2
    assert config(data={"image_size": 64}, model={"levels": 2}).model.levels == 2


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"data": {"image_size": 28}, "model": {"levels": 3}}, "model.levels=3: .* 28 x 28 px"),
        ({"data": {"image_size": 9}}, "9 x 9 px are halved never; give even sides"),
        ({"data": {"batch_size": 1}}, "batch norm needs 2 or more"),
    ],
)
def test_what_can_not_be_built_is_refused(sections, problem):
    with pytest.raises(ConfigError, match=problem):
        config(**sections)


def test_the_loss_of_classes_is_their_cross_entropy(tmp_path):
    run = trainer(tiny("classifier", model__smoothing=0.0, trainer__precision="fp32"), tmp_path)
    (batch,) = next(run.loader.steps())
    run.right = []
    expected = -run.networks["classifier"](batch["image"]).log_softmax(1)
    expected = expected[torch.arange(8), batch["label"]].mean()
    torch.testing.assert_close(run.loss(batch), expected)


def test_the_loss_of_attributes_is_the_mean_of_each_ones_with_smoothed_targets(tmp_path):
    celeba(tmp_path / "set")
    run = trainer(attributes(tmp_path / "set", model__smoothing=0.1), tmp_path / "run")
    (batch,) = next(run.loader.steps())
    run.right = []
    logits = run.networks["classifier"](batch["image"])
    share = 0.05 + 0.9 * batch["attributes"]
    expected = -(share * F.logsigmoid(logits) + (1 - share) * F.logsigmoid(-logits)).mean()
    torch.testing.assert_close(run.loss(batch), expected)
    assert run.right[0] == ((logits > 0) == (batch["attributes"] > 0)).float().mean()


def test_pictures_are_blurred_and_noisy_as_drawn():
    images = torch.full((4, 1, 8, 8), -1.0)
    images[:, :, 4, 4] = 1
    grain = torch.ones(4, 1, 8, 8)
    drawn = torch.tensor([[0.9, 1, 0.9, 1], [0.1, 1, 0.9, 1], [0.1, 0.5, 0.9, 0], [0.9, 0, 0.1, 1]])
    plain, blurred, half, noisy = degraded(images, drawn, grain, 0.5)[:, 0]
    assert torch.equal(plain, images[0, 0])
    assert blurred[4, 4] == pytest.approx(-1 + 2 * (6 / 16) ** 2)
    assert blurred[3, 2] == pytest.approx(-1 + 2 * 4 / 16 / 16)
    torch.testing.assert_close(half, (plain + blurred) / 2)
    torch.testing.assert_close(noisy, (plain + 0.15).clamp(max=1))


def test_degraded_pictures_are_keyed_by_their_place_in_the_step(tmp_path):
    seen = {}
    for name, size, parts in (("one", 8, 1), ("two", 4, 2)):
        run = trainer(
            tiny("classifier", model__degraded=0.8, data__batch_size=size,
                 trainer__grad_accumulation=parts), tmp_path / name,
        )  # fmt: skip
        batches = next(run.loader.steps(accumulation=parts))
        seen[name] = torch.cat([run.seen(batch) for batch in batches])
        assert not torch.equal(seen[name], torch.cat([batch["image"] for batch in batches]))
    torch.testing.assert_close(seen["one"], seen["two"])


def test_the_export_names_its_classes_or_attributes(tmp_path):
    assert trainer(tiny("classifier"), tmp_path / "a").pipeline().answers == Class(
        10, tuple("0123456789")
    )
    celeba(tmp_path / "set")
    pipeline = trainer(attributes(tmp_path / "set"), tmp_path / "b").pipeline()
    assert pipeline.answers == Flags(ATTRIBUTES)
    assert pipeline.card().facts["Attributes"].startswith("Bald, Bangs")
    shares = pipeline(image=torch.zeros(3, 8, 8, dtype=torch.uint8), output="tensor")
    assert shares.shape == (1, len(ATTRIBUTES))


def test_a_pipeline_in_the_middle_of_a_run_leaves_the_averages_as_they_lie(tmp_path):
    run = trainer(tiny("classifier"), tmp_path)
    before = [(p.data_ptr(), p.stride()) for p in run.ema.networks["classifier"].parameters()]
    run.pipeline()
    after = [(p.data_ptr(), p.stride()) for p in run.ema.networks["classifier"].parameters()]
    assert after == before


def test_a_set_without_what_is_learnt_is_refused(tmp_path):
    celeba(tmp_path / "set")
    with pytest.raises(DataError, match="needs label, but this data set gives only attributes"):
        trainer(attributes(tmp_path / "set", model__answers="label"), tmp_path / "run")


def test_a_run_learns_keeps_its_best_and_is_measured(tmp_path):
    run = train(
        tiny(
            "classifier",
            data__train_count=512,
            data__test_count=128,
            data__batch_size=32,
            data__image_size=16,
            model={"width": 8, "units": 32},
            optim={"lr": 0.01},
            evaluation={"every": 60},
            trainer__steps=60,
            trainer__log_every=20,
            trainer__save_every=60,
            trainer__ema_decay=0.9,
        ),
        out=tmp_path / "run",
    )
    assert (run / "best.json").is_file()
    page = write_report([run], out=tmp_path / "before.html").read_text()
    assert "No samples yet" not in page
    assert f"genkit evaluate {run}" in page
    found = evaluate_samples(run)
    assert found["accuracy"].value > 0.5  # a tenth by chance
    assert found["accuracy"].floor == pytest.approx(0.1, abs=0.01)
    assert len(found.classes) == 10
    assert (run / "evaluation.json").is_file()
