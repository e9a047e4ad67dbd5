"""Published weights: where they are, what their bytes must be, and a copy in the user's cache."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from genkit.errors import EvaluationError
from genkit.evaluation import processes
from genkit.files import DownloadError, cache_folder, download

CHUNK = 1 << 24


@dataclass(frozen=True)
class Weights:
    """One published file.

    Attributes:
        file: Its name in the user's cache.
        urls: Where it can be fetched, the first that answers counts.
        sha256: Of its bytes, as several public projects check it.
        is_network: Whether it is what `--weights` names, not a vocabulary.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str
    is_network: bool = True

    @property
    def path(self) -> Path:
        """The copy in the user's cache; it need not exist yet."""
        return cache_folder() / "weights" / self.file

    def fetched(self, extractor: str) -> Path:
        """The copy in the user's cache, fetched once; its SHA-256 is checked each time.

        Raises:
            EvaluationError: It can't be fetched or is another file; says what to put where.
        """
        path = self.path
        processes.from_first(lambda: self._fetch(extractor))  # it fills the cache for the others
        self._fetch(extractor)  # of another machine
        found = sha256_of(path)
        if found != self.sha256:
            raise EvaluationError(
                f"{path}: SHA-256 is {found[:16]}…, expected {self.sha256[:16]}…; "
                f"delete it, then it is fetched again from {self.urls[0]}"
            )
        return path

    def _by_name(self, extractor: str) -> str:
        if not self.is_network:
            return ""
        return f"; genkit evaluate takes a copy from elsewhere: --weights {extractor}=PATH"

    def _fetch(self, extractor: str) -> None:
        if self.path.exists():
            return
        try:
            download(self.urls, self.path, self.sha256)
        except DownloadError as error:
            raise EvaluationError(
                f"{extractor} needs weights that can't be fetched ({error}): put "
                f"{self.urls[0]} at {self.path}, or set GENKIT_CACHE if that folder can't be "
                f"written{self._by_name(extractor)}"
            ) from None


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read part by part."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Any]:
    """A state dict from .safetensors or a plain torch file; nothing in it is executed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EvaluationError(f"{path}: not a readable file of weights ({reason})") from None
    if not isinstance(state, dict):
        raise EvaluationError(f"{path}: holds a {type(state).__name__}, expected a state dict")
    return state
