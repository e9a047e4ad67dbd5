import multiprocessing
import os
import signal
import threading
import time
from itertools import islice

import pytest
import torch

from genkit import random
from genkit.data import Loader
from genkit.data.readers.custom import CustomData
from genkit.data.readers.glyphs import GlyphsData
from genkit.errors import DataError
from genkit.images import to_float
from genkit.launch.signals import STOPPING, handled
from genkit.rows.base import MemoryRows, image_rows
from genkit.rows.columns import shifted

COUNT, SIZE = 50, 8


def source(count=COUNT):
    pixels = torch.randint(0, 256, (count, 1, SIZE, SIZE), generator=torch.Generator())
    return image_rows("numbers:train", pixels.to(torch.uint8), torch.arange(count) % 5)


def section(**settings):
    return CustomData(kind="custom", image_size=SIZE, channels=1, **{"batch_size": 4, **settings})


def take(loader, steps, first=0, **share):
    return list(islice(loader.steps(first, **share), steps))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


AUGMENTED = {"flip": True, "shift": 2}


def test_the_order_of_an_epoch_is_its_keyed_permutation():
    steps = take(Loader(source(), section(batch_size=10), seed=3), 10)
    seen = torch.cat([batch["index"] for (batch,) in steps])
    expected = torch.cat([random.permutation(3, epoch, COUNT) for epoch in (0, 1)])
    assert torch.equal(seen, expected)


def test_each_epoch_visits_each_sample_once_although_steps_straddle_epochs():
    steps = take(Loader(source(), section(batch_size=7), seed=0), 50)  # 350 rows = 7 epochs
    seen = torch.cat([batch["index"] for (batch,) in steps]).view(7, COUNT)
    for epoch in seen:
        assert torch.equal(epoch.sort().values, torch.arange(COUNT))


def test_a_batch_holds_normalised_pixels_labels_and_positions():
    data = source()
    ((batch,),) = take(Loader(data, section(), seed=0), 1)
    assert batch["image"].dtype == torch.float32
    assert torch.equal(batch["image"], to_float(data.values["image"][batch["index"]]))
    assert torch.equal(batch["label"], batch["index"] % 5)
    assert torch.equal(batch["position"], torch.arange(4))


def test_a_source_without_labels_gives_batches_without_labels():
    data = image_rows("bare:train", source().values["image"])
    ((batch,),) = take(Loader(data, section(), seed=0), 1)
    assert set(batch) == {"image", "index", "position"}


@pytest.mark.parametrize("memory", ["always", "never"])
def test_a_resumed_run_sees_the_batches_of_the_unbroken_one(memory):
    loader = Loader(source(), section(memory=memory, **AUGMENTED), seed=1)
    for (one,), (other,) in zip(take(loader, 20)[13:], take(loader, 7, first=13), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (1, 2), (2, 2)])
def test_processes_and_micro_batches_share_out_the_rows_of_one_big_batch(processes, accumulation):
    parts = processes * accumulation
    whole = take(Loader(source(), section(batch_size=4 * parts, **AUGMENTED), seed=2), 6)
    loader = Loader(source(), section(**AUGMENTED), seed=2)
    share = {"processes": processes, "accumulation": accumulation}
    by_rank = [take(loader, 6, rank=rank, **share) for rank in range(processes)]
    for step, (big,) in enumerate(whole):
        pieces = [batch for steps in by_rank for batch in steps[step]]
        joined = {key: torch.cat([piece[key] for piece in pieces]) for key in big}
        order = joined["position"].argsort()
        assert_same(big, {key: value[order] for key, value in joined.items()})


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_gives_the_batches_of_memory_bit_by_bit(workers):
    memory = Loader(source(), section(**AUGMENTED), seed=4)
    stream = Loader(source(), section(memory="never", workers=workers, **AUGMENTED), seed=4)
    share = {"first": 3, "accumulation": 2}
    for one, other in zip(take(memory, 15, **share), take(stream, 15, **share), strict=True):
        assert_same(one[0], other[0])
        assert_same(one[1], other[1])


@pytest.mark.parametrize("memory", ["always", "never"])
def test_loading_leaves_the_process_wide_random_state_alone(memory):
    before = torch.get_rng_state()
    take(Loader(source(), section(memory=memory, **AUGMENTED), seed=0), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_flipping_mirrors_about_half_of_the_images_and_changes_nothing_else():
    data = source()
    mirrored = 0
    for (batch,) in take(Loader(data, section(flip=True), seed=0), 50):
        plain = to_float(data.values["image"][batch["index"]])
        flips = (batch["image"] != plain).flatten(1).any(1)
        assert torch.equal(batch["image"][flips], plain[flips].flip(3))
        mirrored += int(flips.sum())
    assert 70 < mirrored < 130


def test_a_shift_moves_pixels_and_repeats_the_border():
    image = torch.arange(9).view(1, 1, 3, 3)
    right = shifted(image, torch.tensor([[0, 1]]))
    assert right[0, 0].tolist() == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]
    up = shifted(image, torch.tensor([[-1, 0]]))
    assert up[0, 0].tolist() == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert torch.equal(shifted(image, torch.zeros(1, 2, dtype=torch.int64)), image)


def test_another_seed_gives_another_order():
    one, other = (take(Loader(source(), section(), seed=s), 1)[0][0]["index"] for s in (0, 1))
    assert not torch.equal(one, other)


def test_a_set_smaller_than_one_global_batch_is_refused_before_the_first_batch():
    loader = Loader(source(count=15), section(), seed=0)
    with pytest.raises(DataError, match=r"numbers:train: 15 images.*takes 16.*data.batch_size"):
        loader.steps(processes=2, accumulation=2)
    loader.steps(processes=3)


class Failing(MemoryRows):
    def read(self, indices, only=None):
        raise DataError("photo.png: not a readable image")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_while_streaming_is_named_without_a_traceback(workers):
    whole = image_rows("bad:train", source().values["image"])
    data = Failing(whole.name, whole.columns, whole.values)
    loader = Loader(data, section(memory="never", workers=workers), seed=0)
    with pytest.raises(DataError, match=r"^photo.png: not a readable image$"):
        next(loader.steps())


def test_workers_leave_signals_to_whom_they_work_for_and_end_with_the_batches():
    before = set(multiprocessing.active_children())
    steps = Loader(source(), section(memory="never", workers=2), seed=0).steps()
    next(steps)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    for worker in workers:
        for number in STOPPING:
            os.kill(worker.pid, number)
    for _ in range(6):  # more than had been read ahead
        next(steps)
    steps.close()
    assert not set(multiprocessing.active_children()) - before


class Hanging(MemoryRows):
    def read(self, indices, only=None):
        time.sleep(100)


def test_a_worker_that_hangs_ends_with_the_batches_too(monkeypatch):
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)
    whole = image_rows("slow:train", source().values["image"])
    data = Hanging(whole.name, whole.columns, whole.values)
    loader = Loader(data, section(memory="never", workers=1), seed=0)
    before = set(multiprocessing.active_children())
    steps = loader.steps()

    def interrupt():
        while not set(multiprocessing.active_children()) - before:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with handled(signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        next(steps)
    steps.close()
    assert not set(multiprocessing.active_children()) - before


def test_glyphs_stream_as_they_load(tmp_path):
    from genkit.data import open_data

    config = GlyphsData(image_size=16, train_count=40, batch_size=8)
    glyphs = open_data(config)
    never = config.model_copy(update={"memory": "never"})
    ((one,),), ((other,),) = (take(Loader(glyphs, c, seed=0), 1) for c in (config, never))
    assert_same(one, other)
