import io
import tarfile

import pytest
import torch

from genkit.data import open_data
from genkit.data.readers.cifar10 import Cifar10Data
from genkit.errors import DataError


def records(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(0, 256, (count, 3073), generator=generator).to(torch.uint8)
    table[:, 0] = torch.arange(count) % 10
    return table


@pytest.fixture
def root(tmp_path):
    for i in range(1, 6):
        (tmp_path / f"data_batch_{i}.bin").write_bytes(records(20, i).numpy().tobytes())
    (tmp_path / "test_batch.bin").write_bytes(records(10).numpy().tobytes())
    return tmp_path


def config(root, **settings):
    return Cifar10Data(kind="cifar10", root=root, **settings)


def test_the_binary_records_become_images_and_named_labels(root):
    source = open_data(config(root))
    assert source.values["image"].shape == (100, 3, 32, 32)
    assert torch.equal(source.values["image"][20:40].flatten(1), records(20, 2)[:, 1:])
    assert source.labels.bincount().tolist() == [10] * 10
    assert source.class_names[:3] == ("airplane", "automobile", "bird")
    assert len(open_data(config(root), "test")) == 10


def test_the_published_archive_gives_the_same(root, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for path in root.glob("*.bin"):
            tar.add(path, f"cifar-10-batches-bin/{path.name}")
    assert open_data(config(packed)).fingerprint == open_data(config(root)).fingerprint


def test_size_channels_and_limit_are_as_configured(root):
    assert open_data(config(root, image_size=16, limit=7)).values["image"].shape == (7, 3, 16, 16)
    assert open_data(config(root, channels=1, limit=7)).values["image"].shape == (7, 1, 32, 32)


def test_a_batch_file_cut_short_is_refused(root):
    path = root / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"data_batch_3.bin: 61,455 bytes, not a multiple of 3073"):
        open_data(config(root))


def test_pickles_are_not_opened(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=r"made of pickles.*expected cifar-10-binary.tar.gz"):
        open_data(config(tmp_path))


def test_a_broken_archive_is_refused(tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"a login page")
    with pytest.raises(DataError, match="not a whole archive"):
        open_data(config(tmp_path))


def test_shards_of_that_name_are_read_too(tmp_path):
    from PIL import Image

    for split, count in (("train", 3), ("test", 2)):
        with tarfile.open(tmp_path / f"cifar10-{split}-0000.tar.gz", "w:gz") as tar:
            for i in range(count):
                picture = io.BytesIO()
                Image.new("RGB", (32, 32), (i, i, i)).save(picture, "PNG")
                for name, content in ((f"{i}.png", picture.getvalue()), (f"{i}.cls", b"%d" % i)):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    source = open_data(config(tmp_path))
    assert (source.name, len(source), source.num_classes) == ("cifar10:train", 3, 10)
    assert len(open_data(config(tmp_path), "test")) == 2
