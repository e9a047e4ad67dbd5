"""PSNR, SSIM and LPIPS."""

import dataclasses
import hashlib
import io
import tarfile

import pytest
import torch
from networks_at_hand import smooth_pictures

from genkit.errors import EvaluationError
from genkit.evaluation import Lpips, evaluate, evaluate_pairs
from genkit.evaluation.paired import psnr, ssim
from genkit.images import png_bytes
from genkit.nn.pretrained.lpips import TRUNKS
from genkit.rows.base import image_rows
from genkit.rows.combine import picked
from genkit.rows.files import open_path


@pytest.fixture(scope="module")
def pairs():
    a = smooth_pictures(6, 40)
    b = (a.float() + 20 * smooth_pictures(6, 40, "error").float() / 255 - 10).clamp(0, 255)
    return a, b.to(torch.uint8)


def trunk_file(folder, trunk):
    """Seeded weights of a trunk in torchvision's format."""
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = {"alex": torchvision.models.alexnet, "vgg": torchvision.models.vgg16}[trunk]()
    state = {k: v for k, v in network.state_dict().items() if k.startswith("features")}
    torch.save(state, folder / f"{trunk}.pth")
    return folder / f"{trunk}.pth"


@pytest.fixture(scope="module")
def alex(tmp_path_factory):
    return trunk_file(tmp_path_factory.mktemp("weights"), "alex")


def test_a_constant_offset_of_a_tenth_is_20_db():
    a = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    b = a + torch.tensor(51, dtype=torch.uint8)  # 0.2 of 255
    assert psnr(a, b).tolist() == pytest.approx([13.9794] * 2, abs=1e-3)
    assert psnr(a, a).isinf().all()


def test_ssim_of_flat_images_is_its_luminance_term():
    a = torch.full((1, 1, 16, 16), 51, dtype=torch.uint8)
    b = torch.full((1, 1, 16, 16), 102, dtype=torch.uint8)
    expected = (2 * 0.2 * 0.4 + 1e-4) / (0.2**2 + 0.4**2 + 1e-4)
    assert ssim(a, b).item() == pytest.approx(expected, rel=1e-6)
    assert ssim(a, a).item() == pytest.approx(1)


def test_ssim_with_reflected_borders_is_torchmetrics(pairs):
    metrics = pytest.importorskip("torchmetrics.functional.image")
    a, b = pairs
    expected = metrics.structural_similarity_index_measure(
        a.double() / 255, b.double() / 255, data_range=1.0, reduction="none"
    )
    torch.testing.assert_close(ssim(a, b, "reflect"), expected, rtol=1e-5, atol=1e-5)
    assert (ssim(a, b) - expected).abs().max() > 1e-5


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_lpips_is_that_of_its_package(trunk, pairs, tmp_path):
    import lpips

    path = trunk_file(tmp_path, trunk)
    theirs = lpips.LPIPS(net=trunk, pretrained=True, pnet_rand=True, verbose=False).eval()
    state = torch.load(path)
    names = {name: f"features.{name.split('.', 1)[1]}" for name in theirs.net.state_dict()}
    theirs.net.load_state_dict({name: state[old] for name, old in names.items()})
    a, b = pairs
    with torch.inference_mode():
        expected = theirs(a.float() / 127.5 - 1, b.float() / 127.5 - 1).flatten()
    distance = Lpips(trunk, path)
    torch.testing.assert_close(distance(a, b), expected, rtol=1e-4, atol=1e-6)
    assert distance(a, a).abs().max() == 0
    assert (expected > 0).all()


def test_pairs_give_every_metric_with_its_protocol(pairs, alex):
    a, b = (image_rows(n, x) for n, x in zip("ab", pairs, strict=True))
    found = evaluate_pairs(a, b, lpips=("alex",), weights={"lpips-alex": alex})
    digest = hashlib.sha256(alex.read_bytes()).hexdigest()
    names = [metric.name for metric in found.metrics]
    assert names == ["psnr", "ssim", f"lpips-alex-{digest[:8]}"]
    assert found["psnr"].value == pytest.approx(psnr(*pairs).mean().item())
    assert found["ssim"].protocol["border"] == "valid"
    for metric in found.metrics:
        assert metric.low < metric.value < metric.high
    half = image_rows("half", pairs[0][:2])
    same = evaluate_pairs(half, image_rows("same", torch.stack([pairs[0][0], pairs[1][1]])))
    assert same.notes == ("1 of 2 pairs are equal: PSNR is of the others",)
    assert same["psnr"].protocol["samples"] == 1
    assert same["ssim"].high == 1.0  # and not what a normal distribution would reach
    alike = evaluate_pairs(half, half)
    assert [metric.name for metric in alike.metrics] == ["ssim"]


def test_pairs_that_do_not_fit_are_refused(pairs):
    a, b = (image_rows(n, x) for n, x in zip("ab", pairs, strict=True))
    with pytest.raises(EvaluationError, match=r"a has 6 images and b \(3\) 3: paired"):
        evaluate_pairs(a, picked(b, torch.arange(3)))
    other = image_rows("other", smooth_pictures(6, 32))
    with pytest.raises(EvaluationError, match=r"image 0 of a is .* bring both to one size"):
        evaluate_pairs(a, other)


def test_lpips_names_what_it_can_not_do(alex, tmp_path):
    tiny = smooth_pictures(2, 16)
    with pytest.raises(EvaluationError, match="images of 16 px are too small"):
        Lpips("alex", alex)(tiny, tiny)
    with pytest.raises(EvaluationError, match="no trunk 'squeeze'; there are alex, vgg"):
        Lpips("squeeze")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(EvaluationError, match="not torchvision's weights of that trunk"):
        Lpips("alex", tmp_path / "other.pth")


def test_the_diversity_of_one_image_per_class_is_zero(alex, monkeypatch):
    digest = hashlib.sha256(alex.read_bytes()).hexdigest()
    known = dataclasses.replace(TRUNKS["alex"], sha256=digest)
    monkeypatch.setitem(TRUNKS, "alex", known)
    images, labels = smooth_pictures(20, 32), torch.arange(20) % 2
    asked = {
        "extractors": ["digits"],
        "lpips": ("alex",),
        "weights": {"lpips-alex": alex},
        "metrics": ("fd",),
    }
    real = image_rows("real", images, labels)
    varied = evaluate(real, real, train=real, **asked)["lpips-alex-diversity"]
    assert varied.low < varied.value < varied.high
    assert varied.floor == pytest.approx(varied.value)
    collapsed = image_rows("one", images[:2].repeat(10, 1, 1, 1), labels)
    found = evaluate(collapsed, real, **asked)
    assert found["lpips-alex-diversity"].value == pytest.approx(0, abs=1e-6)


# -- which picture belongs to which ----------------------------------------------------------------


def written(place, names, images):
    """Pictures as files of these names; of a tar in this order."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix != ".tar":
        for name, image in zip(names, images, strict=True):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(png_bytes(image))
        return open_path(place)
    with tarfile.open(place, "w") as tar:
        for name, image in zip(names, images, strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(content := png_bytes(image))
            tar.addfile(member, io.BytesIO(content))
    return open_path(place)


@pytest.mark.parametrize("place", ["other", "other.tar"])
def test_pictures_of_one_name_are_pairs_in_whatever_order_they_lie(place, tmp_path):
    images = smooth_pictures(6, 16)
    names = [f"{i}.png" for i in (3, 10, 1, 0, 2, 11)]
    made = written(tmp_path / "made", names, images)
    real = written(tmp_path / place, names[::-1], images.flip(0))
    found = evaluate_pairs(made, real)
    assert found.notes[0].startswith("6 of 6 pairs are equal")
    assert found["ssim"].value == pytest.approx(1)
    assert found.samples["sha256"] == made.fingerprint


@pytest.mark.parametrize(
    ("made", "real", "said"),
    [
        (["0.png", "1.png"], ["0.png", "2.png"], "for 1 in made and 2 in real"),  # one strays
        (["0_fake.png", "1_fake.png"], ["0_real.png", "1_real.png"], "for 0_fake, 1_fake in made"),
        (["0.png", "1.png"], ["0.png", "1.png", "2.png"], "for 2 in real"),
        (["0.png", "0.jpg"], ["0.png", "1.png"], "0 occur twice"),
    ],
)
def test_a_picture_without_a_partner_is_named(made, real, said, tmp_path):
    images = smooth_pictures(3, 16)
    sets = [written(tmp_path / name, names, images[: len(names)]) for name, names in
            (("made", made), ("real", real))]  # fmt: skip
    with pytest.raises(EvaluationError, match=said):
        evaluate_pairs(*sets)


def test_sets_without_names_are_paired_by_position_and_that_is_said(tmp_path):
    images = smooth_pictures(4, 16)
    real = written(tmp_path / "real", [f"{i}.png" for i in range(4)], images)
    found = evaluate_pairs(image_rows("made", images), real)
    assert any(note.startswith("paired by position") for note in found.notes)
    assert found["ssim"].value == pytest.approx(1)
