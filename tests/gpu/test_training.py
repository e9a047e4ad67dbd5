"""Training on a GPU: precisions, layouts, compiled kernels, resume, averages, one NCCL process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from families_at_hand import assert_same_state, state, tiny, trainer

from genkit.training.ema import EMA

ROOT = Path(__file__).parent.parent.parent
CASES = ("dcgan", "cgan projection", "cyclegan", "ddpm", "ddpm conditional dit")


def losses(run: Any) -> list[float]:
    """Of each step of a run, one number each: the mean over its networks."""
    seen: list[torch.Tensor] = []
    step = run.train_step

    def watched(batches: Any) -> Any:
        found = step(batches)
        seen.append(torch.stack([v for k, v in found.items() if k.startswith("loss/")]).mean())
        return found

    run.train_step = watched
    assert run.fit()
    return torch.stack(seen).tolist()


def run_of(case: str, folder: Path, **settings: Any) -> Any:
    return trainer(tiny(case, **{f"trainer__{k}": v for k, v in settings.items()}), folder)


@pytest.fixture(scope="module")
def in_fp32(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Losses of each case in full precision on this device."""
    folder = tmp_path_factory.mktemp("fp32")
    return {case: losses(run_of(case, folder / case, precision="fp32")) for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_a_run_takes_place_on_the_device_in_bf16_by_itself(use, gpu, tmp_path, case):
    use("gpu")
    run = run_of(case, tmp_path)
    assert run.device.type == gpu.type
    assert all(isinstance(loss, float) for loss in losses(run))
    if gpu.type == "cuda" and torch.cuda.get_device_capability(gpu)[0] >= 8:
        assert run.casting.precision == "bf16"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_less_precision_begins_where_full_precision_begins(
    use, gpu, in_fp32, tmp_path, case, precision
):
    if precision == "fp16" and gpu.type == "cpu":
        pytest.skip("fp16 needs a GPU")
    use("gpu")
    found = losses(run_of(case, tmp_path, precision=precision))
    assert found[0] == pytest.approx(in_fp32[case][0], rel=0.03, abs=0.03)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_the_layout_changes_a_run_by_rounding_only(use, in_fp32, tmp_path, case, layout):
    use("gpu")
    found = losses(run_of(case, tmp_path, precision="fp32", memory_format=layout))
    assert found == pytest.approx(in_fp32[case], rel=5e-3, abs=5e-3)


# torch's compiler warns of much that is its own, and warnings are errors here.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ["dcgan", "ddpm"])
def test_a_compiled_run_is_the_plain_one_to_rounding(use, gpu, in_fp32, tmp_path, case):
    if gpu.type == "cpu":
        pytest.skip("minutes on a CPU; tests/training/test_kernels.py has it without inductor")
    use("gpu")
    found = losses(run_of(case, tmp_path, precision="fp32", compile=True))
    assert found == pytest.approx(in_fp32[case], rel=5e-3, abs=5e-3)


def genkit(*arguments: object, **environment: str) -> str:
    """What a command of a process of its own said, which ended well."""
    done = subprocess.run(
        [sys.executable, "-m", "genkit", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def train(folder: Path, case: str, *more: object, steps: int, **environment: str) -> str:
    config = folder.parent / f"{folder.name}.yaml"
    if not config.exists():
        import yaml

        from genkit.config import to_tree

        tree = to_tree(tiny(case))
        config.write_text(yaml.safe_dump(tree))
    words = (config, "--out", folder, f"trainer.steps={steps}", *more)
    return genkit("train", *words, **environment)


def newest(folder: Path) -> dict[str, torch.Tensor]:
    """The flat tensors of a run's newest checkpoint, on the CPU."""
    from genkit.training import checkpoints

    found, _ = checkpoints.load_newest(folder / "checkpoints")
    flat: dict[str, torch.Tensor] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            flat[name] = value.cpu()
        elif isinstance(value, dict):
            for key, below in value.items():
                walk(f"{name}/{key}", below)

    walk("", found)
    return flat


@pytest.mark.parametrize("case", ["dcgan", "ddpm"])
def test_a_deterministic_run_resumes_bit_for_bit(tmp_path, case):
    settings = ("trainer.deterministic=true", "trainer.save_every=1")
    train(tmp_path / "unbroken", case, *settings, steps=4)
    train(tmp_path / "broken", case, *settings, steps=2)
    train(tmp_path / "broken", case, *settings, "--resume", steps=4)
    assert_same_state(newest(tmp_path / "broken"), newest(tmp_path / "unbroken"))


def test_one_process_of_a_group_is_the_run_without_a_group(tmp_path, gpu):
    settings = ("trainer.deterministic=true", "trainer.precision=fp32")
    group = {
        **{"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29521"},
    }
    if gpu.type == "cpu":
        group["ACCELERATE_USE_CPU"] = "true"
    train(tmp_path / "alone", "ddpm", *settings, steps=2)
    train(tmp_path / "group", "ddpm", *settings, steps=2, **group)
    alone, grouped = newest(tmp_path / "alone"), newest(tmp_path / "group")
    assert alone.keys() == grouped.keys()
    for name, value in alone.items():
        torch.testing.assert_close(grouped[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_nccl_adds_up_what_one_process_has(only_gpu, tmp_path):
    code = """
import torch, torch.distributed as dist
dist.init_process_group("nccl", init_method="tcp://127.0.0.1:29522", rank=0, world_size=1)
x = torch.arange(1000, device="cuda", dtype=torch.float32)
y = x.clone()
dist.all_reduce(y)
assert torch.equal(x, y) and dist.get_backend() == "nccl"
dist.destroy_process_group()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("case", ["dcgan", "ddpm"])
def test_a_run_moves_from_cpu_to_gpu_and_back(use, tmp_path, case):
    for where, steps in (("cpu", 2), ("gpu", 4), ("cpu", 6)):
        use(where)
        run = run_of(case, tmp_path, precision="fp32", steps=steps, save_every=2)
        before = newest(tmp_path) if steps > 2 else None
        if before is not None:
            run.resume()
            assert run.steps_done == steps - 2
            moved = {k: v.cpu() for k, v in state(run).items()}
            names = {k: f"/networks/{k[4:]}" if k.startswith("raw/") else f"/{k}" for k in moved}
            assert_same_state(moved, {k: before[name] for k, name in names.items()})
        assert run.fit()
        assert all(value.isfinite().all() for value in state(run).values())


def test_an_average_follows_its_formula(gpu):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.BatchNorm1d(5)).to(gpu)
    average = EMA({"n": network}, 0.9, warmup=False)
    expected = [p.detach().double().cpu() for p in network.parameters()]
    for step in range(20):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update({"n": network}, step)
        now = [p.detach().double().cpu() for p in network.parameters()]
        expected = [0.9 * e + 0.1 * n for e, n in zip(expected, now, strict=True)]
    for found, right in zip(average.networks["n"].parameters(), expected, strict=True):
        assert found.device.type == gpu.type
        torch.testing.assert_close(found.double().cpu(), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_step_never_waits_for_the_gpu(use, only_gpu, tmp_path, case):
    """Whatever waits lets the GPU idle; the loss is read on log steps only."""
    use("gpu")
    run = run_of(case, tmp_path, steps=8, log_every=4, save_every=4, preview_every=4)
    step = run.train_step

    def watched(batches: Any) -> Any:
        logged = run.config.trainer.is_logged(run.steps_done + 1)
        torch.cuda.set_sync_debug_mode("error" if run.steps_done > 1 and not logged else "default")
        try:
            return step(batches)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    run.train_step = watched
    assert run.fit()
