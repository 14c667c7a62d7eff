"""Whether explanations of similarities are faithful, and which method is most so."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from chinspect.encoders import method_for, read_card
from chinspect.errors import InputError
from chinspect.execute import load_samples
from chinspect.relevance import Composite, Method
from chinspect.relevance.composites import Row
from chinspect.relevance.rules import Epsilon, Flat
from chinspect.similarity import SimilarityIndex, choose_method, explain_similarity, settled_method
from chinspect.similarity.choice import candidate_methods
from tests.similarity.conftest import picture

BLIND = Method("lrp", Composite("blind", (Row(Flat(stabiliser=1e9), position="first"), Row(Epsilon()))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    generator = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("photographs")
    for number in range(6):
        picture(generator, 64, 64).save(path / f"{number}.png")
    (path / "a-broken.png").write_bytes(b"\x89PNG\r\n\x1a\n rest is missing")
    return path


def test_shapley_values_agree_with_themselves_and_noise_does_not(encoder, pictures):
    exact = explain_similarity(encoder, *pictures, method="shapley", evaluations=2000, patch_size=16, check=False)
    agreement = exact.faithfulness(1000)
    assert agreement.reliability > 0.5
    assert agreement.corrected == pytest.approx(1, abs=0.1)
    noise = np.random.default_rng(0).normal(size=exact.a.contributions.shape)
    scrambled = replace(exact, a=replace(exact.a, contributions=noise))
    assert abs(scrambled.faithfulness(1000).corrected) < 0.5
    with pytest.raises(InputError, match="choose at least 132"):
        exact.faithfulness(100)


def test_faithfulness_needs_the_encoder(encoder, folder, tmp_path):
    index = SimilarityIndex.build(encoder, folder, tmp_path / "index", patch_size=32)
    with pytest.raises(InputError, match="needs the encoder and its inputs"):
        index.explain(0, 1).faithfulness(500)


def test_an_index_by_each_method_stores_what_it_explains(encoder, folder, tmp_path):
    for method in ("rescale", "shapley"):
        index = SimilarityIndex.build(encoder, folder, tmp_path / method, method=method, patch_size=32)
        pair = index.explain(0, 1)
        direct = explain_similarity(encoder, pair.a.name, pair.b.name, method=method, patch_size=32)
        assert index.method.name == method
        np.testing.assert_allclose(pair.relevance, direct.relevance, atol=2e-3 * np.abs(direct.relevance).max())
        assert pair.conservation == pytest.approx(1, abs=1e-2)
        # the marginal is of the difference to the other image's reference, too
        np.testing.assert_allclose(index.marginal(0, 1), pair.marginals()[0], atol=2e-2 * np.abs(pair.relevance).max())


def test_images_of_the_data_set_are_references(encoder, folder, tmp_path):
    index = SimilarityIndex.build(encoder, folder, tmp_path / "index", reference="dataset", patch_size=32)
    assert index.method.label == "rescale, reference 6 images"
    # the references are the data set itself: the mean difference to them is none
    np.testing.assert_allclose(index.explained.mean(0), 0, atol=1e-3 * np.abs(index.embeddings).max())
    with pytest.raises(InputError, match="reference"):
        SimilarityIndex.build(encoder, folder, tmp_path / "index", reference="grey", patch_size=32)


def test_the_most_faithful_method_is_chosen_and_the_table_says_why(encoder, folder):
    """Even over the picture is no explanation: its advantage over random patches is none but by chance."""
    choice = choose_method(
        encoder, load_samples(folder), candidates=[BLIND, Method("shapley", evaluations=200)], pairs=2
    )
    assert choice.method.name == "shapley"
    assert list(choice.table.columns[:4]) == ["method", "advantage", "standard_error", "more"]
    assert choice.table.advantage.is_monotonic_decreasing
    assert choice.table.conservation[0] == pytest.approx(1, abs=1e-3)
    assert "most faithful of 2 methods on 2 pairs" in choice.sentence
    assert choice.usual is BLIND
    assert choice.document()["choice"]["method"] == "shapley"


def test_a_choice_needs_two_images(encoder, tmp_path):
    picture(np.random.default_rng(0), 64, 64).save(tmp_path / "one.png")
    with pytest.raises(InputError, match="of 1 only 1 can be read"):
        choose_method(encoder, load_samples(tmp_path))


def test_a_black_box_is_explained_by_shapley_values(pictures):
    """Nothing that torch.export reads: the module asks numpy."""
    from chinspect.encoders import Encoder

    class Box(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(np.asarray(x.mean((2, 3)).tolist(), dtype=np.float32) ** 2)

    box = Encoder.wrap(Box(), size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    why = explain_similarity(box, *pictures, method="shapley", patch_size=8, evaluations=200)
    assert why.conservation == pytest.approx(1, abs=1e-4)


def test_auto_is_chosen_on_the_data_set_once_and_recorded(encoder, folder, tmp_path, monkeypatch):
    tried = candidate_methods(encoder)
    assert len(tried) > 8
    monkeypatch.setattr("chinspect.similarity.choice.candidate_methods", lambda _: tried[:3])  # all would take long
    index = SimilarityIndex.build(encoder, folder, tmp_path / "index", method="auto", patch_size=32)
    record = json.loads((tmp_path / "index" / "choice.json").read_text())
    assert index.method.document == record["choice"]
    assert record["fingerprint"] == encoder.fingerprint
    assert len(record["tried"]) == 3
    monkeypatch.setattr("chinspect.similarity.choice.choose_method", lambda *_, **__: pytest.fail("chosen twice"))
    again = SimilarityIndex.build(encoder, folder, tmp_path / "index", method="auto", patch_size=32)
    assert again.method.document == index.method.document
    with pytest.raises(InputError, match="auto chooses composite and reference"):
        settled_method(encoder, "auto", load_samples(folder), reference="grey")


def test_the_usual_method_stays_unless_another_is_clearly_more_faithful(encoder, folder):
    """A blind one is worse, and one that is better by chance is not chosen."""
    usual = Method()
    choice = choose_method(encoder, load_samples(folder), candidates=[usual, BLIND], pairs=3)
    assert choice.method is choice.usual is usual
    row = choice.table.set_index("method").loc["blind"]
    assert row.more < 0
    assert "stays" in choice.sentence


def test_a_choice_is_a_method_of_its_encoder_alone(encoder, folder, tmp_path):
    choice = choose_method(encoder, load_samples(folder), candidates=[Method("lrp", "epsilon_plus")], pairs=1)
    path = str(choice.save(tmp_path)[0])
    assert method_for(encoder, path).document == choice.method.document
    other = replace(encoder, preprocessing=replace(encoder.preprocessing, mean=(0.4, 0.5, 0.5)))
    with pytest.raises(InputError, match="was chosen for"):
        method_for(other, path)
    with pytest.raises(InputError, match="holds all options"):
        method_for(encoder, path, reference="grey")
    with pytest.raises(InputError, match="there is no file"):
        method_for(encoder, str(tmp_path / "none.json"))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="holds no choice"):
        method_for(encoder, str(tmp_path / "other.json"))


def test_a_card_records_the_method_of_its_encoder(encoder):
    card = replace(read_card("tiny-clip"), extra={"explanation": {"method": "lrp", "composite": "epsilon_plus"}})
    recorded = replace(encoder, card=card)
    assert method_for(recorded).label == "epsilon_plus"
    assert method_for(recorded, reference="grey").label == "rescale, reference grey"
    assert method_for(recorded, "rescale").label == "rescale, reference blur"
    damaged = replace(encoder, card=replace(card, extra={"explanation": {"method": "magic"}}))
    with pytest.raises(InputError, match="records a method of explanation that is none"):
        method_for(damaged)


def test_auto_of_a_pair_is_chosen_on_the_pair(encoder, pictures, monkeypatch):
    tried = candidate_methods(encoder)[:2]
    monkeypatch.setattr("chinspect.similarity.choice.candidate_methods", lambda _: tried)
    why = explain_similarity(encoder, *pictures, method="auto", check=False)
    assert why.method.document == why.choice["choice"] == why.document()["choice"]["choice"]
    assert why.choice["pairs"] == 1
    plain = explain_similarity(encoder, *pictures, method=why.method, check=False)
    np.testing.assert_allclose(why.relevance, plain.relevance)
    assert plain.choice == {}
