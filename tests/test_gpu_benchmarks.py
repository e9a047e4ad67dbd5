"""What `benchmarks/gpu.sh` plans, counts and writes; that it runs is rehearsed by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, ClassVar

import pytest
import torch

from benchmarks import gpu, gpu_page, gpu_run, gpu_turns
from benchmarks.gpu_counts import Counts, kind_of
from benchmarks.gpu_parts import PARTS, Part, Room, summary
from benchmarks.gpu_turns import Lost, Player, play
from genkit.family import load_config

CPU = torch.device("cpu")


def part(name: str, planned: float, most: float, *, rest: bool = False) -> Part:
    return Part(name, planned, most, lambda room: iter(()), takes_the_rest=rest)


# -- time ------------------------------------------------------------------------------------------


def test_all_that_is_planned_fits_into_the_nine_minutes():
    assert sum(part.planned for part in PARTS) <= gpu.BUDGET == 540
    assert PARTS[-1].takes_the_rest
    assert not any(part.takes_the_rest for part in PARTS[:-1])
    listed = gpu.listing(gpu.BUDGET)
    assert all(f"{part.name} " in listed and part.what in listed for part in PARTS)


def test_a_part_has_its_own_time_and_leaves_the_last_one_its_least():
    speed, last = part("speed", 40, 60), part("run", 60, 540, rest=True)
    assert gpu.seconds_for(speed, 500, [last]) == 60
    assert gpu.seconds_for(speed, 80, [last]) == 80 - gpu.OVERHEAD - gpu.LEAST * 60
    assert gpu.seconds_for(speed, 54, [last]) is None  # 19 s of 40 planned are left for it
    assert gpu.seconds_for(last, 300, []) == 300 - gpu.OVERHEAD
    assert gpu.seconds_for(last, 30, []) is None


def test_what_stands_is_not_run_again_and_what_failed_is(tmp_path, monkeypatch, capsys):
    parts = (part("a", 1, 2), part("b", 1, 2), part("c", 1, 2), part("run", 1, 2, rest=True))
    monkeypatch.setattr(gpu, "PARTS", parts)
    gpu.append(tmp_path, {"part": "a", "status": "done"})
    gpu.append(tmp_path, {"part": "b", "status": "failed", "why": "once"})
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"part": "c", "sta')  # killed while it was written
        file.write("\n")
    seen = []

    def fails_at_c(part: Part, seconds: float, out: Any) -> str:
        seen.append(part.name)
        return "it broke" if part.name == "c" else ""

    monkeypatch.setattr(gpu, "run_part", fails_at_c)
    gpu.run_all(None, tmp_path, time.time(), 100)
    assert seen == ["b", "c", "run"]
    assert gpu.done(gpu.results(tmp_path)) == {"a", "b", "run"}
    said = capsys.readouterr().out
    assert "a: not run, done before" in said
    assert "c: failed in 0 s it broke" in said


def test_a_rehearsal_is_not_taken_for_what_a_gpu_has_done(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "REHEARSAL", True)
    gpu.append(tmp_path, {"part": "card", "status": "done"})
    gpu.set_apart(tmp_path)
    assert gpu.done(gpu.results(tmp_path)) == {"card"}
    monkeypatch.setattr(gpu, "REHEARSAL", False)
    gpu.set_apart(tmp_path)
    assert gpu.results(tmp_path) == []
    assert (tmp_path / "results-of-a-rehearsal.jsonl").exists()


def test_without_time_nothing_is_begun_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "PARTS", (part("a", 10, 20),))
    gpu.run_all(None, tmp_path, time.time() - 95, 100)
    (row,) = gpu.results(tmp_path)
    assert row["status"] == "not run"
    assert "s are left of 100" in row["why"]


def test_a_part_that_hangs_is_ended_and_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu.sys, "executable", "/bin/sleep")  # "-m" is no number of seconds
    assert "status 1" in gpu.run_part(PARTS[0], 5, tmp_path)
    script = tmp_path / "hang"
    script.write_text("#!/bin/sh\nsleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(gpu.sys, "executable", str(script))
    begun = time.time()
    assert gpu.run_part(PARTS[0], 0.2, tmp_path) == "not over after 0 s"
    assert time.time() - begun < 5


@pytest.mark.parametrize("packed", [None, "mnist", "cifar10"])
@pytest.mark.parametrize("tiny", [False, True])
def test_the_real_run_is_one_that_genkit_takes(tmp_path, monkeypatch, packed, tiny):
    monkeypatch.setattr(gpu_run, "PACK", tmp_path)
    if packed:
        (tmp_path / "data" / packed).mkdir(parents=True)
    config, words = gpu_run.asked(tiny=tiny)
    settings = load_config(gpu_run.ROOT / config, words)
    assert settings.trainer.steps == 10**6
    assert settings.optim.schedule == "constant"
    assert tiny or (packed or "glyphs") == settings.data.kind


def test_a_run_that_is_ended_ends_its_part(tmp_path):
    script = tmp_path / "hang"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 60\n")
    script.chmod(0o755)
    words = ["--only", "card", "--out", str(tmp_path)]
    code = f"import sys; from benchmarks import gpu; sys.executable = {str(script)!r}; "
    code += f"gpu.main({words!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=gpu.ROOT)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=30) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# -- turns -----------------------------------------------------------------------------------------


class Stub:
    """An arm without a process."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, player: Player, log: Any) -> None:
        self.player = player

    def answer(self, deadline: float) -> dict[str, Any]:
        if self.player.label == "broken":
            raise Lost("CUDA out of memory")
        return {"ready": True, "images": 4, "precision": "bf16"}

    def ask(self, deadline: float, **command: Any) -> dict[str, Any]:
        self.asked.append((self.player.label, command["do"]))
        if self.player.label == "weak" and len(self.asked) > 6:
            raise Lost("gone")
        return {"seconds": 0.5} if command["do"] == "lap" else {"flops": 7}

    def end(self) -> None:
        self.asked.append((self.player.label, "end"))


def test_arms_take_turns_and_one_that_fails_leaves_the_others_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_turns, "Process", Stub)
    Stub.asked.clear()
    players = [Player("a", "f", {}, ("count",)), Player("broken", "f"), Player("weak", "f")]
    rows = {
        row["arm"]: row
        for row in play(players, tmp_path, deadline=time.time() + 99, rounds=4, lap_seconds=1)
    }
    assert Stub.asked[:6] == [(name, "lap") for name in ("a", "weak", "a", "weak", "weak", "a")]
    assert rows["a"]["laps"] == [0.5] * 4
    assert rows["a"]["count"] == {"flops": 7}
    assert rows["broken"]["failed"] == "CUDA out of memory"
    assert rows["weak"]["failed"] == "lap: gone"
    assert [name for name, what in Stub.asked if what == "end"] == ["a", "broken", "weak"]


def test_a_part_of_which_no_arm_was_measured_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_turns, "Process", Stub)
    room = Room(tmp_path, time.time() + 99)
    with pytest.raises(SystemExit, match="no arm was measured"):
        list(room.play(Player("broken", "f")))
    measured = list(room.play(Player("a", "f"), Player("broken", "f"), rounds=1, most_steps=1))
    assert [row.get("failed") for row in measured] == [None, "CUDA out of memory"]


# -- counts ----------------------------------------------------------------------------------------


def test_a_product_counts_as_matrix_work_and_a_sum_as_traffic():
    a, b = torch.randn(8, 16), torch.randn(16, 4)
    with Counts(CPU) as counts:
        product = a @ b
    assert (counts.flops, counts.bytes) == (2 * 8 * 16 * 4, 0)
    with Counts(CPU) as counts:
        product + product
        product.add_(1)
        product.view(-1)  # moves nothing
        product.t()
    assert counts.flops == 0
    # Read twice and written once; then read and written.
    assert counts.bytes == (3 + 2) * 4 * 8 * 4


def test_operations_of_other_devices_are_not_counted():
    with Counts(torch.device("meta")) as counts:
        torch.randn(8) + 1
    assert counts.bytes == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_NNT", "matrix"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32", "matrix"),
        ("void cudnn::cnn::conv2d_grouped_direct_kernel", "matrix"),
        ("pytorch_flash::flash_fwd_kernel<...>", "matrix"),
        ("aten::addmm", "matrix"),
        ("aten::mkldnn_convolution", "matrix"),
        ("void cudnn::ops::nchwToNhwcKernel<...>", "layout"),
        ("void at::native::vectorized_elementwise_kernel<4, ...>", "other"),
        ("triton_poi_fused_convert_element_type_3", "other"),
        ("Memcpy HtoD (Pinned -> Device)", "other"),
    ],
)
def test_kernels_are_told_apart_by_their_names(name, kind):
    assert kind_of(name) == kind


# -- the page --------------------------------------------------------------------------------------

CARD = {
    **{"part": "card", "kind": "card", "card": "NVIDIA Test 80GB", "bf16_flops": 4e14},
    **{"sheet_flops": 5e14, "bytes_per_s": 2e12},
}
COUNT = {"flops": 2e12, "bytes": 1e10, "operations": 900}
SPEED = [
    {
        **{"part": "ddpm-128", "kind": "speed", "work": "a step", "arm": "theirs"},
        **{"images": 128, "precision": "bf16", "laps": [0.03, 0.02, 0.04]},
    },
    {
        **{"part": "ddpm-128", "kind": "speed", "work": "a step", "arm": "genkit"},
        **{"images": 128, "precision": "bf16", "laps": [0.015, 0.02, 0.016], "count": COUNT},
    },
    {
        **{"part": "ddpm-128", "kind": "speed", "work": "a step", "arm": "lost"},
        **{"failed": "CUDA out of memory"},
    },
]


def test_the_page_says_ratio_and_shares():
    page = gpu_page.text([CARD, *SPEED, {"part": "ddpm-128", "status": "done", "seconds": 99}])
    # 16 ms against 30: 1.88. 2e12 operations are 5 ms of 16 by the measured rate, 4 by the sheet's;
    # 1e10 bytes are 5 ms more.
    row = next(line for line in page.splitlines() if line.startswith("| genkit"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells == ["8,000", "1.88", "1.00 to 2.50", "16.00", "31%", "25%", "62%"]
    assert "| lost | failed: CUDA out of memory |" in page
    assert "| ddpm-128 | done | 99 |" in page


def test_no_figure_of_a_rehearsal_is_written_as_a_gpus(tmp_path):
    rows = [{**row, "rehearsal": True} for row in (CARD, *SPEED)]
    page = gpu_page.text(rows)
    assert page.startswith("# Rehearsal on a CPU")
    assert "8,000" not in page
    assert "1.88" not in page
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SystemExit, match="only what a GPU gave is filed"):
        gpu_page.file(tmp_path, tmp_path)


def test_a_page_of_a_gpu_is_filed_by_day_and_card(tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in [CARD, *SPEED])
    (tmp_path / "results.jsonl").write_text(lines)
    (tmp_path / "run-samples.png").write_bytes(b"picture")
    results = tmp_path / "results"
    results.mkdir()
    page = gpu_page.file(tmp_path, results)
    assert page.name.endswith("-nvidia-test-80gb.md")
    assert page.with_suffix(".jsonl").read_text() == lines
    assert page.with_suffix(".png").read_bytes() == b"picture"


def test_tests_that_failed_are_named(tmp_path):
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="good"/><testcase name="bad"><failure '
        'message="assert 1 == 2"/></testcase><testcase name="no"><skipped message="why"/>'
        "</testcase></testsuite></testsuites>"
    )
    assert summary(report) == {
        "passed": 1,
        "skipped": 1,
        "failed_tests": [["bad", "assert 1 == 2"]],
    }
