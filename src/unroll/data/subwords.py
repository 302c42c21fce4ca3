"""Subwords: byte-pair encoding (Sennrich et al., ACL 2016) of bytes, by the library tokenizers.

A text is divided into words with the blank before them, marks and further blanks, which together are the text again.
Each of them is divided into the merges of bytes that were learned from the training split. Every byte is a symbol, so
that nothing is unknown, and every text comes back as it was. The unigram model of the library is not offered, since it
differs from process to process.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any  # Any: what JSON holds

from unroll.errors import BadInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # bytes that pieces have as they are
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]  # written as the letters from 256 on
BYTES = {chr(byte): byte for byte in PRINTABLE} | {chr(256 + place): byte for place, byte in enumerate(OTHERS)}
LEAST = 300  # symbols: 256 bytes, 3 special ones, and some merges


class Subwords:
    """A trained model.

    Args:
        content: its JSON, as the library writes it.

    Raises:
        BadInput: it is not a model, or the library is not installed.
    """

    def __init__(self, content: str) -> None:
        library = _library()
        try:
            self.model: Tokenizer = library.Tokenizer.from_str(content)
            vocabulary: dict[str, int] = self.model.get_vocab(with_added_tokens=False)
        except Exception as error:  # the library raises nothing more specific
            raise BadInput(f"A model of subwords cannot be read ({error}); train the run again.") from None
        self.pieces = sorted(vocabulary, key=vocabulary.__getitem__)
        self.known: dict[str, list[int]] = {}  # numbers of pieces by word

    def encode(self, words: Sequence[str]) -> list[int]:
        """The numbers of the pieces of words."""
        for word in words:
            if word not in self.known:
                self.known[word] = self.model.encode(word).ids
        return [number for word in words for number in self.known[word]]


def text_of(pieces: Iterable[str]) -> str:
    """The text of pieces, without the library; bytes that are no characters, and other symbols, become U+FFFD."""
    return bytes(BYTES.get(letter, 0xFF) for piece in pieces for letter in piece).decode("utf-8", "replace")


def learn(counts: Counter[str], size: int) -> str:
    """The JSON of a model that is trained on words.

    Args:
        counts: of the words of the training split.
        size: greatest number of pieces; there are fewer if no pair of pieces occurs twice.

    Raises:
        BadInput: the library is not installed.
    """
    library = _library()
    model = library.Tokenizer(library.models.BPE())
    model.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    model.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    words = chain.from_iterable(repeat(word, count) for word, count in sorted(counts.items()))
    model.train_from_iterator(words, trainer=trainer)
    return json.dumps(json.loads(model.to_str()), ensure_ascii=False)


def _library() -> Any:
    """The library, an optional part."""
    try:
        import tokenizers
    except ImportError:
        raise BadInput(
            "Subwords need the package tokenizers: pip install -e '.[subwords]'; or choose the unit words, tokens or "
            "characters."
        ) from None
    return tokenizers
