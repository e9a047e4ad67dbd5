"""With one file of weights and the same images, the numbers of clean-fid and torch-fidelity."""

import numpy as np
import pytest
import torch
from networks_at_hand import save_torchscript, seeded_inception, smooth_pictures
from PIL import Image

from genkit.evaluation import load_extractor
from genkit.evaluation.engine import features_of
from genkit.evaluation.frechet import frechet_distance
from genkit.evaluation.metrics.is_ import inception_score
from genkit.evaluation.metrics.kid import kernel_distance
from genkit.evaluation.metrics.prdc import prdc
from genkit.evaluation.moments import Gaussian
from genkit.rows.combine import picked
from genkit.rows.files import open_path

torch_fidelity = pytest.importorskip("torch_fidelity")
COUNT = 12  # each size in each colour and format


@pytest.fixture(scope="module")
def network():
    return seeded_inception()


@pytest.fixture(scope="module")
def state_file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of mixed sizes, colour and grey, PNG and JPEG."""
    made = []
    for name in ("fake", "real"):
        folder = tmp_path_factory.mktemp(name)
        for i in range(COUNT):
            size = (32, 48, 301)[i % 3]
            picture = Image.fromarray(
                smooth_pictures(1, size, f"{name}/{i}")[0].permute(1, 2, 0).numpy()
            )
            if i % 4 == 1:
                picture = picture.convert("L")
            picture.save(folder / f"{i:03d}.{'png' if i % 2 else 'jpg'}")
        made.append(folder)
    return made


@pytest.fixture(scope="module")
def theirs(folders, state_file):
    """torch-fidelity's features and logits of both folders."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    extractor = FeatureExtractorInceptionV3(
        "seeded", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(state_file)
    )
    found = []
    for folder in folders:
        parts = []
        for file in sorted(folder.iterdir()):
            pixels = torch.from_numpy(np.asarray(Image.open(file).convert("RGB")).copy())
            with torch.inference_mode():
                parts.append(extractor(pixels.permute(2, 0, 1)[None]))
        found.append(tuple(torch.cat(part) for part in zip(*parts, strict=True)))
    return found


@pytest.fixture(scope="module")
def ours(folders, state_file):
    """Our features of both folders in TensorFlow's resize, and the extractor."""
    extractor = load_extractor("inception-v3", state_file, resize="legacy-tensorflow")
    return [features_of(open_path(folder), extractor) for folder in folders], extractor


@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_fid_is_clean_fids(mode, folders, network, state_file, tmp_path):
    from cleanfid import fid

    def model(batch):
        return network((batch - 128) / 128)

    features = [
        fid.get_folder_features(
            str(folder), model=model, num_workers=0, batch_size=8, device="cpu", mode=mode,
            verbose=False,
        )
        for folder in folders
    ]  # fmt: skip
    if mode != "clean":  # its root of a 2048 x 2048 matrix takes 10 s: once is enough
        features = in_their_span(features)
    expected = fid.fid_from_feats(*features)
    extractor = load_extractor("inception-v3", state_file, resize=mode.replace("_", "-"))
    sets = [features_of(open_path(folder), extractor) for folder in folders]
    found = frechet_distance(*map(Gaussian.of, sets))
    assert expected > 1
    assert found == pytest.approx(expected, rel=1e-3)
    if mode == "clean":
        save_torchscript(network, tmp_path / "inception.pt")
        scripted = load_extractor("inception-v3-torchscript", tmp_path / "inception.pt")
        few = picked(open_path(folders[0]), torch.arange(4))
        torch.testing.assert_close(features_of(few, scripted), sets[0][:4], rtol=1e-3, atol=1e-3)


def in_their_span(features: list[np.ndarray]) -> list[np.ndarray]:
    """The same points (N, 2048) by as many coordinates as there are points: no distance moves."""
    basis, _ = np.linalg.qr(np.concatenate(features).T)
    return [rows @ basis for rows in features]


def test_fid_in_tensorflows_resize_is_torch_fidelitys(ours, theirs):
    from torch_fidelity.metric_fid import (
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    statistics = [fid_features_to_statistics(features) for features, _ in theirs]
    expected = fid_statistics_to_metric(*statistics, verbose=False)
    found = frechet_distance(*map(Gaussian.of, ours[0]))
    assert found == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)


def test_kid_of_the_same_subset_is_torch_fidelitys(ours, theirs):
    from torch_fidelity.metric_kid import kid_features_to_metric

    chosen = torch.arange(0, COUNT, 2)
    expected = kid_features_to_metric(
        *(features[chosen] for features, _ in theirs),
        kid_subsets=1,
        kid_subset_size=len(chosen),
        verbose=False,
    )
    found = kernel_distance(*(features[chosen] for features in ours[0]))
    assert found == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-3)


def test_the_inception_score_is_torch_fidelitys(ours, theirs):
    from torch_fidelity.metric_isc import isc_features_to_metric

    features, extractor = ours
    expected = isc_features_to_metric(theirs[0][1], splits=4, shuffle=False)
    found = inception_score(extractor.logits(features[0]), splits=4)
    assert found.value == pytest.approx(expected["inception_score_mean"], rel=1e-4)
    assert found.splits.std(correction=0).item() == pytest.approx(
        expected["inception_score_std"], rel=1e-2
    )


def test_precision_and_recall_are_torch_fidelitys(ours, theirs):
    from torch_fidelity.metric_prc import prc_features_to_metric

    expected = prc_features_to_metric(
        theirs[0][0], theirs[1][0], prc_neighborhood=3, prc_batch_size=100, verbose=False
    )
    fake, real = ours[0]
    found = prdc(real, fake)
    assert found.precision.mean().item() == pytest.approx(expected["precision"])
    assert found.recall.mean().item() == pytest.approx(expected["recall"])


def test_vgg_features_are_torch_fidelitys(tmp_path):
    import torchvision
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(torchvision.models.vgg16().state_dict(), tmp_path / "vgg.pth")
    theirs = FeatureExtractorVGG16(
        "seeded", ["fc2_relu"], feature_extractor_weights_path=str(tmp_path / "vgg.pth")
    )
    images = smooth_pictures(3, 40)
    extractor = load_extractor("vgg16", tmp_path / "vgg.pth", resize="legacy-tensorflow")
    with torch.inference_mode():
        (expected,) = theirs(images)
    torch.testing.assert_close(extractor.of(images), expected, rtol=1e-3, atol=1e-5)


def test_bf16_is_a_preview_by_name_and_near_the_truth(network, state_file):
    images = smooth_pictures(4)
    exact = load_extractor("inception-v3", state_file)
    preview = load_extractor("inception-v3", state_file, precision="bf16")
    assert preview.frechet_name.endswith("-bf16-preview")
    a, b = exact.of(images), preview.of(images)
    assert 0.01 < (a - b).norm() / a.norm() < 0.3
