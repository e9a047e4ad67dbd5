"""Published weights: where they are, what their bytes must be, and a copy in the user's cache."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file
from torch import Tensor, nn

from genkit.errors import WeightsError
from genkit.files import DownloadError, cache_folder, download

CHUNK = 1 << 24


@dataclass(frozen=True)
class Weights:
    """One published file.

    Attributes:
        file: Its name in the user's cache.
        urls: Where it can be fetched, the first that answers counts.
        sha256: Of its bytes, as several public projects check it.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str

    @property
    def path(self) -> Path:
        """The copy in the user's cache; it need not exist yet."""
        return cache_folder() / "weights" / self.file

    def fetched(self, user: str, hint: str = "") -> Path:
        """The copy in the user's cache, fetched once; its SHA-256 is checked each time.

        Args:
            user: What needs it, for messages.
            hint: What else can be done where it can't be fetched, for messages.

        Raises:
            WeightsError: It can't be fetched or is another file; says what to put where.
        """
        path = self.path
        if not path.exists():
            self._fetch(user, hint)
        found = sha256_of(path)
        if found != self.sha256:
            raise WeightsError(
                f"{path}: SHA-256 is {found[:16]}…, expected {self.sha256[:16]}…; "
                f"delete it, then it is fetched again from {self.urls[0]}"
            )
        return path

    def _fetch(self, user: str, hint: str) -> None:
        try:
            download(self.urls, self.path, self.sha256)
        except DownloadError as error:
            raise WeightsError(
                f"{user} needs weights that can't be fetched ({error}): put "
                f"{self.urls[0]} at {self.path}, or set GENKIT_CACHE if that folder can't be "
                f"written{hint}"
            ) from None


@dataclass(frozen=True)
class Loaded:
    """A network with its weights.

    Attributes:
        network: In evaluation mode, its weights fixed, on the CPU unless something else is said.
        sha256: Of the file of weights.
        is_published: Whether the file is the published one.
    """

    network: nn.Module
    sha256: str
    is_published: bool


def shortened(error: BaseException, most: int = 160) -> str:
    """The reason that another library gives, on one line."""
    return " ".join(str(error).split())[:most]


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read part by part."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()


def shipped(path: Path, sha256: str) -> dict[str, Tensor]:
    """The state dict of weights that come with genkit.

    Raises:
        WeightsError: The file can't be read or is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: can't be read ({error}); install genkit again") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"{path}: SHA-256 is {found[:16]}…, expected {sha256[:16]}…; these are other weights "
            "and would give other numbers under the same name: install genkit again"
        )
    return load_bytes(content)


def read_state(path: Path) -> dict[str, Any]:
    """A state dict from .safetensors or a plain torch file; nothing in it is executed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path}: not a readable file of weights ({reason})") from None
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, expected a state dict")
    return state
