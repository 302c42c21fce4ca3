"""Words as vectors: one-hot, pretrained, and joined with their characters, each form read once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unroll.networks import embedding as module
from unroll.networks.characters import CharacterBiLSTM, CharacterCNN
from unroll.networks.embedding import OneHot, WordEmbedding, Words, embed, embedding_from

VOCABULARY, PADDING = 11, 0
EXACT = {"rtol": 0.0, "atol": 1e-10}
NAN = float("nan")


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_an_embedding_starts_at_its_scale_with_nothing_for_padding(scale: float) -> None:
    torch.manual_seed(0)
    weight = embed(VOCABULARY, 500, padding_index=2, scale=scale).weight
    assert not weight[2].any()
    for row in (n for n in range(VOCABULARY) if n != 2):
        assert abs(weight[row].std() / scale - 1) < 0.2
        assert abs(weight[row].mean()) < 0.2 * scale


def vectors(spread: float = 3.0) -> Tensor:
    """Rows 0, 1 and 4 have no vector."""
    table = spread * torch.randn(VOCABULARY, 400, generator=torch.Generator().manual_seed(1))
    table[[0, 1, 4]] = NAN
    return table


@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_given_vectors_stay_and_the_others_are_drawn_as_wide_as_they(spread: float) -> None:
    torch.manual_seed(0)
    table = vectors(spread)
    weight = embedding_from(table, PADDING, frozen=False).weight
    given = [2, 3, *range(5, VOCABULARY)]
    assert torch.equal(weight[given], table[given])
    assert not weight[PADDING].any()
    assert not weight.isnan().any()
    for row in (1, 4):
        assert abs(weight[row].std() / spread - 1) < 0.2
        assert abs(weight[row].mean()) < 0.2 * spread
    assert table[[0, 1, 4]].isnan().all()  # what was given is as it was


def test_a_vector_for_the_padding_is_left_out() -> None:
    table = vectors()
    assert not embedding_from(table, 3, frozen=True).weight[3].any()
    assert table[3].all()


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_vectors_do_not_learn_and_others_do(frozen: bool) -> None:
    embedding = embedding_from(vectors(), PADDING, frozen)
    assert embedding.weight.requires_grad != frozen
    if not frozen:
        embedding(torch.tensor([0, 2, 1])).sum().backward()
        assert embedding.weight.grad is not None
        assert embedding.weight.grad.any(dim=1).nonzero().flatten().tolist() == [1, 2]  # and never the padding


def test_the_same_seed_draws_the_same_vectors() -> None:
    weights = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        weights.append(embedding_from(vectors(), PADDING, frozen=True).weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_one_hot_is_the_row_of_the_identity_and_zeros_for_padding() -> None:
    tokens = torch.tensor([[3, 0, 10], [2, 2, 1]])
    identity = torch.eye(VOCABULARY)
    identity[2] = 0
    assert torch.equal(OneHot(VOCABULARY, padding_index=2)(tokens), identity[tokens])


def test_one_hot_has_the_precision_of_its_network_and_no_weights() -> None:
    one_hot = OneHot(VOCABULARY, PADDING)
    assert one_hot(torch.tensor([[1]])).dtype == torch.float32
    assert one_hot.double()(torch.tensor([[1]])).dtype == torch.float64
    assert not list(one_hot.parameters())
    assert not one_hot.state_dict()


def test_a_matrix_over_one_hot_is_an_embedding() -> None:
    tokens, embedding = torch.tensor([[3, 0, 10], [2, 2, 1]]), embed(VOCABULARY, 5, PADDING, 1.0).double()
    one_hot = OneHot(VOCABULARY, PADDING).double()
    torch.testing.assert_close(one_hot(tokens) @ embedding.weight, embedding(tokens), **EXACT)


LETTERS, SPELLINGS = 9, [[1, 2, 3], [4], [5, 6, 7, 8, 1], [2, 2], [8, 3, 1, 2]]
FORMS = torch.tensor([[2, 0, 2, 1], [4, 4, -1, -1]])  # form 3 is in no word
TOKENS = torch.tensor([[5, 3, 5, 4], [7, 7, PADDING, PADDING]])


def table(total: int = 5) -> tuple[Tensor, Tensor]:
    """Characters of the five forms, padded to ``total``, and their lengths."""
    rows = torch.zeros(len(SPELLINGS), total, dtype=torch.int64)
    for n, spelling in enumerate(SPELLINGS):
        rows[n, : len(spelling)] = torch.tensor(spelling)
    return rows, torch.tensor([len(spelling) for spelling in SPELLINGS])


def build(kind: str, one_hot: bool = False) -> WordEmbedding:
    torch.manual_seed(2)
    characters = {
        "cnn": lambda: CharacterCNN(LETTERS, 0, 4, 6, 0.0), "bilstm": lambda: CharacterBiLSTM(LETTERS, 0, 4, 3),
    }[kind]()  # fmt: skip
    words = OneHot(VOCABULARY, PADDING) if one_hot else embed(VOCABULARY, 8, PADDING, 1.0)
    return WordEmbedding(words, characters).double()


each_kind = pytest.mark.parametrize("kind", ["cnn", "bilstm"])


@each_kind
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_word_is_its_vector_joined_with_the_features_of_its_own_characters(kind: str, one_hot: bool) -> None:
    network = build(kind, one_hot)
    joined = network(Words(TOKENS, FORMS, *table()))
    assert joined.shape == (2, 4, network.output_size)
    width = VOCABULARY if one_hot else 8
    for b, t in torch.cartesian_prod(torch.arange(2), torch.arange(4)).tolist():
        if FORMS[b, t] < 0:
            assert not joined[b, t].any()
            continue
        spelling = torch.tensor([SPELLINGS[FORMS[b, t]]])
        alone = network.characters(spelling, torch.tensor([spelling.shape[1]]))[0]
        torch.testing.assert_close(joined[b, t, :width], network.words(TOKENS[b : b + 1])[0, t], **EXACT)
        torch.testing.assert_close(joined[b, t, width:], alone, **EXACT)


@each_kind
def test_reading_each_form_once_is_reading_every_word(kind: str) -> None:
    network, weights = build(kind), torch.randn(2, 4, 6, dtype=torch.float64)
    characters, lengths = table(total=7)
    once = network(Words(TOKENS, FORMS, characters, lengths))[..., 8:]
    real = FORMS >= 0
    every = torch.zeros_like(once)
    every[real] = network.characters(characters[FORMS[real]], lengths[FORMS[real]])
    torch.testing.assert_close(once, every, **EXACT)
    parameters = list(network.characters.parameters())
    one, other = (torch.autograd.grad((side * weights).sum(), parameters) for side in (once, every))
    for gradient, expected in zip(one, other, strict=True):
        assert expected.any()
        torch.testing.assert_close(gradient, expected, **EXACT)


@each_kind
@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 100])
def test_features_are_in_the_order_of_the_forms_however_they_are_cut(
    kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, (characters, lengths) = build(kind), table(total=9)
    monkeypatch.setattr(module, "CHUNK", chunk)
    read: list[tuple[int, int]] = []
    network.characters.register_forward_pre_hook(lambda _, given: read.append(tuple(given[0].shape)))
    features = network.features(characters, lengths)
    assert max(rows for rows, _ in read) <= chunk
    assert read[-1][1] == 5  # padding beyond the longest form is not read
    assert read == sorted(read, key=lambda shape: shape[1])
    torch.testing.assert_close(features, network.characters(characters, lengths), **EXACT)


@each_kind
def test_a_table_that_was_computed_before_is_used_as_it_is(kind: str) -> None:
    network, (characters, lengths) = build(kind), table()
    plain = network(Words(TOKENS, FORMS, characters, lengths))
    held = network.features(characters, lengths)
    calls: list[object] = []
    network.characters.register_forward_pre_hook(lambda *_: calls.append(1))
    assert torch.equal(network(Words(TOKENS, FORMS, characters, lengths, held)), plain)
    assert not calls
    doubled = network(Words(TOKENS, FORMS, characters, lengths, 2 * held))
    torch.testing.assert_close(doubled[..., 8:], 2 * plain[..., 8:], **EXACT)


def test_nothing_of_a_table_is_kept() -> None:
    network, words = build("cnn"), Words(TOKENS, FORMS, *table())
    network(words._replace(table=network.features(*words[2:4])))
    with torch.no_grad():
        network.characters.embedding.weight[1:] += 1
    again = build("cnn")
    again.load_state_dict(network.state_dict())
    assert torch.equal(network(words), again(words))


def test_what_stands_behind_a_sequence_changes_nothing() -> None:
    network, (characters, lengths) = build("cnn"), table()
    both = network(Words(TOKENS, FORMS, characters, lengths))
    alone = network(Words(TOKENS[1:, :2], FORMS[1:, :2], characters, lengths))
    torch.testing.assert_close(both[1:, :2], alone, **EXACT)
    assert not both[1:, 2:].any()


def test_words_learn_beside_frozen_vectors() -> None:
    torch.manual_seed(0)
    network = WordEmbedding(embedding_from(vectors(), PADDING, frozen=True), CharacterCNN(LETTERS, 0, 4, 6, 0.0))
    network(Words(TOKENS, FORMS, *table())).sum().backward()
    assert isinstance(network.words, nn.Embedding)
    assert network.words.weight.grad is None
    assert all(parameter.grad is not None for parameter in network.characters.parameters())
