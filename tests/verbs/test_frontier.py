"""The speed-quality frontier: its rows, its Pareto set, what is kept and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from families_at_hand import tiny

from genkit.cli import main
from genkit.errors import EvaluationError, PipelineError
from genkit.nn.denoisers import make_unet
from genkit.noise.process import NoiseProcess
from genkit.pipelines import Denoising, load_pipeline
from genkit.report import write_report
from genkit.rows.base import image_rows
from genkit.verbs.frontier import Setting, measure_frontier, settings_of
from genkit.verbs.frontier_files import pareto
from genkit.verbs.train import train

SWEEP = {"solvers": ["ddim"], "steps": [2, 4], "guidance": [1.0, 2.0], "precision": ["fp32"]}
SMALL = {"count": 20, "batch_size": 10}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frontier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENKIT_CACHE", str(folder / "cache"))
        return train(tiny("ddpm conditional", trainer__steps=2), out=folder / "run")


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder of its own, with the export of the one that was trained."""
    monkeypatch.setenv("GENKIT_CACHE", str(trained.parent / "cache"))
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.yaml", "provenance.json", "export"):
        (folder / name).symlink_to(trained / name)
    return folder


def pipeline(
    prediction: str = "epsilon", classes: int | None = None, *, null_label: bool = True
) -> Denoising:
    torch.manual_seed(0)
    unet = make_unet(8, 1, 1, channels=(8,), layers=1, attention=(), num_classes=classes)
    process = NoiseProcess(prediction=prediction, steps=50)  # type: ignore[arg-type]
    return Denoising(
        scheduler=process.scheduler(), unet=unet, num_classes=classes, null_label=null_label
    )


def test_the_pareto_set_of_points_that_can_be_seen_through():
    # (speed, quality): a and d are extremes, b and its twin lie between, c is worse than b.
    a, b, c, d = (1.0, 9.0), (2.0, 8.0), (2.0, 7.0), (8.0, 1.0)
    slower_and_as_good = (1.5, 8.0)
    assert pareto([a, b, c, d, b, slower_and_as_good]) == [True, True, False, True, True, False]
    assert pareto([(3.0, 3.0)]) == [True]
    # Along a falling line nothing beats anything; one point above it beats what it covers.
    line = [(float(i), 10.0 - i) for i in range(10)]
    assert all(pareto(line))
    assert pareto([*line, (5.5, 7.5)]) == [not 3 <= i <= 5 for i in range(10)] + [True]


@pytest.mark.parametrize(
    ("prediction", "solver", "guidance"),
    [
        ("epsilon", "ddim", 1.0),
        ("epsilon", "ddim", 2.0),
        ("epsilon", "ddim", 0.0),
        ("epsilon", "heun", 3.0),
        ("epsilon", "unipc", 1.0),
        ("epsilon", "ddpm", 1.0),
        ("edm", "edm_dpmsolver++", 2.0),
        ("edm", "edm_heun", 2.0),
        ("flow", "flow_euler", 1.0),
        ("flow", "flow_heun", 2.0),
    ],
)
def test_evaluations_are_those_that_the_network_sees(prediction, solver, guidance):
    made, setting = pipeline(prediction, classes=3), Setting(solver, 4, guidance, "fp32")
    seen = []
    made.denoiser.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    list(made.stream(range(2), scheduler=solver, steps=4, guidance=guidance, precision="fp32"))
    assert sum(seen) == 2 * setting.evaluations


def test_the_settings_of_a_model_are_those_that_suit_it():
    plain = settings_of(pipeline())
    assert {s.scheduler for s in plain} == {"ddim", "dpmsolver++", "unipc"}
    assert {s.steps for s in plain} == {5, 10, 20, 50}
    assert {s.guidance for s in plain} == {1.0}
    assert {s.precision for s in plain} == {"fp32"}  # too small to gain by bf16
    assert {s.guidance for s in settings_of(pipeline(classes=3))} == {1.0, 2.0}
    always_labelled = settings_of(pipeline(classes=3, null_label=False))
    assert {s.guidance for s in always_labelled} == {1.0}
    assert {s.scheduler for s in settings_of(pipeline("flow"))} == {"flow_euler", "flow_heun"}
    assert len(settings_of(pipeline(), steps=[5, 5], solvers=["ddim"])) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solvers": ["flow_euler"]}, "does not fit this model"),
        ({"steps": [51]}, "more than the 50 timesteps"),
        ({"guidance": [2.0]}, "knows no classes"),
        ({"precision": ["fp8"]}, "one of auto, fp32, bf16"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_before_anything_is_measured(options, message):
    with pytest.raises(PipelineError, match=message):
        settings_of(pipeline(), **options)


def test_every_setting_has_a_row_with_speed_and_metrics_by_protocol(run: Path):
    seen: list[tuple[int, int]] = []
    found = measure_frontier(run, **SWEEP, **SMALL, progress=lambda *now: seen.append(now))
    assert json.loads((run / "frontier.json").read_text()) == found
    assert (run / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert {(row["steps"], row["guidance"]) for row in found["rows"]} == {
        (2, 1.0), (2, 2.0), (4, 1.0), (4, 2.0),
    }  # fmt: skip
    assert seen[-1][0] == seen[-1][1] == (4 * 10 + 20) * (2 + 4 + 4 + 8)
    for row in found["rows"]:
        assert row["evaluations"] == row["steps"] * (1 if row["guidance"] == 1 else 2)
        assert len(row["batch_seconds"]) == 3
        assert row["images_per_s"] == pytest.approx(10 / sorted(row["batch_seconds"])[1], rel=1e-2)
        metrics = {metric["name"]: metric for metric in row["metrics"]}
        assert metrics.keys() >= {"fd-digits", "recall-digits", "accuracy"}
        assert metrics["fd-digits"]["protocol"]["samples"] == 20
        assert metrics["fd-digits"]["protocol"]["reference"] == found["reference"]["name"]
    points = [(row["images_per_s"], -row["metrics"][0]["value"]) for row in found["rows"]]
    assert [row["pareto"] for row in found["rows"]] == pareto(points)


def test_a_metric_is_that_of_the_samples_that_the_setting_draws(run: Path):
    from genkit.evaluation import evaluate
    from genkit.verbs.evaluate import named_set

    one = {"solvers": ["ddim"], "steps": [4], "guidance": [2.0], "precision": ["fp32"]}
    found = measure_frontier(run, **one, **SMALL, reference="synthetic:glyphs:test")
    images = load_pipeline(run)(
        20, scheduler="ddim", steps=4, guidance=2.0, precision="fp32", output="np"
    )
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    samples = image_rows("s", pixels, torch.arange(20) % 10)
    expected = evaluate(samples, named_set("synthetic:glyphs:test", 1, (16, 16)))
    values = {metric["name"]: metric["value"] for metric in found["rows"][0]["metrics"]}
    # pixels may differ by 1/255 between batch sizes
    assert values["fd-digits"] == pytest.approx(expected["fd-digits"].value, rel=1e-2)


def test_rows_that_are_there_are_kept_and_only_new_ones_are_drawn(run: Path):
    first = measure_frontier(run, **SWEEP, **SMALL)
    seen: list[tuple[int, int]] = []
    again = measure_frontier(run, **SWEEP, **SMALL, progress=lambda *now: seen.append(now))
    assert again == first
    assert seen == []
    more = {**SWEEP, "steps": [3], "guidance": [1.0]}
    second = measure_frontier(run, **more, **SMALL, progress=lambda *now: seen.append(now))
    # The speed of all five rows is of one sitting; images are drawn for the new one only.
    assert seen[-1][0] == 4 * 10 * (2 + 4 + 4 + 8 + 3) + 20 * 3
    old = {Setting.of(row): row["metrics"] for row in first["rows"]}
    new = {Setting.of(row): row["metrics"] for row in second["rows"]}
    assert new.keys() - old.keys() == {Setting("ddim", 3, 1.0, "fp32")}
    assert all(new[setting] == old[setting] for setting in old)


def test_another_batch_size_times_every_row_again_and_draws_none(run: Path):
    first = measure_frontier(run, **SWEEP, **SMALL)
    seen: list[tuple[int, int]] = []
    batch = {**SMALL, "batch_size": 5}
    second = measure_frontier(run, **SWEEP, **batch, progress=lambda *now: seen.append(now))
    assert seen[-1] == (4 * 5 * (2 + 4 + 4 + 8),) * 2
    assert second["speed"]["batch_size"] == 5
    metrics = [
        {Setting.of(row): row["metrics"] for row in found["rows"]} for found in (first, second)
    ]
    assert metrics[0] == metrics[1]


def test_an_interrupted_sweep_goes_on_with_the_row_that_it_lacks(run: Path):
    def stop(done: int, total: int) -> None:
        if (run / "frontier.json").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_frontier(run, **SWEEP, **SMALL, progress=stop)
    kept = json.loads((run / "frontier.json").read_text())["rows"]
    assert [Setting.of(row) for row in kept] == [Setting("ddim", 2, 1.0, "fp32")]
    found = measure_frontier(run, **SWEEP, **SMALL)
    assert len(found["rows"]) == 4
    assert kept[0]["metrics"] in [row["metrics"] for row in found["rows"]]


def test_rows_of_other_weights_or_images_are_not_kept(
    run: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    measure_frontier(run, **SWEEP, **SMALL)
    one = {**SWEEP, "steps": [2], "guidance": [1.0]}
    monkeypatch.setattr(logging.getLogger("genkit"), "propagate", True)
    assert len(measure_frontier(run, **one, count=21, batch_size=10)["rows"]) == 1
    assert "of other count, so it is begun anew" in caplog.text
    other = load_pipeline(run)
    with torch.no_grad():
        other.denoiser.conv_out.bias.add_(1)
    (run / "export").unlink()
    other.save_pretrained(run / "export")
    more = {**one, "steps": [3]}
    assert len(measure_frontier(run, **more, count=21, batch_size=10)["rows"]) == 1
    assert "of other weights, so it is begun anew" in caplog.text


def test_what_has_no_frontier_or_no_reference_is_refused(run: Path, tmp_path: Path):
    with pytest.raises(PipelineError, match="no such folder"):
        measure_frontier(tmp_path / "nothing")
    with pytest.raises(EvaluationError, match="give --reference"):
        measure_frontier(run / "export", **SWEEP)
    gan = train(tiny("dcgan", trainer__steps=2), out=tmp_path / "gan")
    with pytest.raises(PipelineError, match="give a diffusion model"):
        measure_frontier(gan)
    for broken in ("--steps=5,x", "--guidance=a", "--precision=fp8"):
        with pytest.raises(SystemExit):
            main(["frontier", str(run), broken])


def test_the_command_prints_the_table_and_the_report_shows_it(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")  # no line is wrapped
    arguments = ["frontier", str(run), "--schedulers", "ddim,unipc", "--steps", "2", "--guidance"]
    arguments += ["1", "--precision", "fp32", "--count", "100", "--device", "cpu"]
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert not stopped.value.code
    out = capsys.readouterr().out
    for word in ("unipc", "fd-digits", "images/s", "Pareto set", "frontier.png"):
        assert word in out
    with pytest.raises(SystemExit):
        main([*arguments, "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    page = write_report([run]).read_text()
    assert "Speed and quality" in page
    assert "every setting draws one batch in turn" in page
    for row in rows:
        assert f'<th scope="row">{row["scheduler"]}</th>' in page
    (run / "frontier.json").write_text("{}")
    assert "frontier.json is left out" in write_report([run]).read_text()
