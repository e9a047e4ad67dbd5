import gzip
import struct
import tracemalloc

import pytest
import torch

from genkit.data import open_data, open_reference
from genkit.data.readers import mnist
from genkit.data.readers.mnist import MnistData, read_idx
from genkit.errors import DataError


def idx(values):
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.numpy().tobytes()


def digits(count, size=28):
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(0, 256, (count, size, size), generator=generator).to(torch.uint8)
    return pixels, (torch.arange(count) % 10).to(torch.uint8)


@pytest.fixture
def root(tmp_path):
    for part, count in (("train", 30), ("t10k", 20)):
        pixels, labels = digits(count)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def config(root, **settings):
    return MnistData(kind="mnist", root=root, **{"image_size": 28, **settings})


def test_images_and_labels_arrive_as_the_files_hold_them(root):
    source = open_data(config(root))
    pixels, labels = digits(30)
    assert torch.equal(source.values["image"][:, 0], pixels)
    assert torch.equal(source.labels, labels.long())
    assert (source.name, source.num_classes) == ("mnist:train", 10)
    assert len(open_data(config(root), "test")) == 20


def test_gzipped_files_in_the_torchvision_layout_are_the_same(root, tmp_path):
    plain = open_data(config(root))
    raw = tmp_path / "packed" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in root.glob("*ubyte"):
        (raw / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = open_data(config(tmp_path / "packed"))
    assert packed.fingerprint == plain.fingerprint


def test_at_32_px_two_black_pixels_are_added_on_each_side(root):
    source = open_data(config(root, image_size=32, channels=3))
    assert source.values["image"].shape == (30, 3, 32, 32)
    assert torch.equal(source.values["image"][:, 2, 2:-2, 2:-2], digits(30)[0])
    assert source.values["image"][:, :, :2].max() == 0
    assert source.values["image"][:, :, :, -2:].max() == 0


def test_another_size_is_resampled(root):
    assert open_data(config(root, image_size=20)).values["image"].shape == (30, 1, 20, 20)


def test_limit_takes_the_first_training_images_only(root):
    limited = config(root, limit=7)
    source = open_data(limited)
    assert torch.equal(source.values["image"][:, 0], digits(30)[0][:7])
    assert source.num_classes == 10
    assert len(open_reference("mnist:test", like=limited)) == 20


def test_a_read_only_root_is_enough(root):
    root.chmod(0o500)
    try:
        assert len(open_data(config(root))) == 30
    finally:
        root.chmod(0o700)


def test_missing_files_are_named_with_the_folders_looked_in(tmp_path):
    with pytest.raises(DataError, match=r"neither train-images-idx3-ubyte nor .*MNIST/raw"):
        open_data(config(tmp_path))


@pytest.mark.parametrize("keep", [0, 3, 15, 100, -1])
def test_a_file_cut_short_is_refused(root, keep):
    path = root / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: .*get it anew"):
        open_data(config(root))


def test_a_gzip_file_cut_short_is_refused(root):
    path = root / "train-labels-idx1-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(packed[:-9])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz: can't be read"):
        open_data(config(root))


def test_images_where_labels_are_expected_are_refused(root):
    (root / "train-labels-idx1-ubyte").write_bytes(idx(digits(30)[0]))
    with pytest.raises(DataError, match="not an IDX file of 1-dimensional bytes"):
        open_data(config(root))


def test_labels_of_another_count_are_refused(root):
    (root / "train-labels-idx1-ubyte").write_bytes(idx(digits(29)[1]))
    with pytest.raises(DataError, match=r"different length: .'image': 30, 'label': 29"):
        open_data(config(root))


def test_offline_the_message_says_what_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "_ADDRESSES", (f"file://{tmp_path}/nowhere/",))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: missing, .*put it there"):
        open_data(config(None))


@pytest.mark.parametrize("shape", [(30, 28, 28), (1 << 31, 28, 28)])
def test_a_packed_file_is_unpacked_no_further_than_its_head_promises(tmp_path, shape):
    path = tmp_path / "images.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in shape))
        for _ in range(8):
            file.write(bytes(1 << 24))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"images\.gz: .*promises .*get it anew"):
        read_idx(path, 3)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 22
