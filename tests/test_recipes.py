"""A recipe says what it is for: the one that fits is taken, and where none or several fit the choices are said."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_helpers import request

from dynvit.backbones.adapter import family_of
from dynvit.backbones.build import BackboneSpec, build
from dynvit.errors import InputError
from dynvit.interface import Augment, Recipe, Scope, methods
from dynvit.recipe import Situation
from dynvit.recipes import choose_recipe
from dynvit.training.prepared import as_asked, fitted, resized
from dynvit.training.run import train_to

PLAIN = Recipe(epochs=1, batch_size=64, lr=1e-3)


def chosen(method: str, backbone: str, family: str, dataset: str, size: int, asked: str | None = None) -> str:
    return choose_recipe(method, methods.get(method).recipes, Situation(backbone, family, dataset, size), asked).name


@pytest.mark.parametrize(
    ("method", "backbone", "family", "dataset", "size", "recipe"),
    [
        ("dvt", "deit_small_patch16_224", "vit", "imagenet", 224, "imagenet-deit"),
        ("dvt", "deit_small_patch16_224.fb_in1k", "vit", "flowers", 224, "imagenet-deit"),
        ("dvt", "t2t_vit_12", "t2t", "imagenet", 224, "imagenet-t2t-12"),
        ("dvt", "t2t_vit_14", "t2t", "imagenet", 224, "imagenet-t2t-14"),
        ("dvt", "deit_small_patch16_224", "vit", "cifar100", 224, "cifar-transfer"),
        ("dvt", "t2t_vit_12", "t2t", "cifar10", 224, "cifar-transfer"),
        ("dvt", "deit_tiny_patch16_224", "vit", "cifar10", 64, "cifar10"),
        ("dvt", "vit_digits", "vit", "digits", 8, "digits"),
        ("mia", "levit_192", "levit", "imagenet", 224, "imagenet-levit"),
        ("mia", "deit_small_patch16_224", "vit", "imagenet", 224, "imagenet-deit"),
        ("mia", "vit_digits", "vit", "digits", 8, "digits"),
        ("dynamicvit", "deit_base_patch16_224", "vit", "imagenet", 224, "neurips2021"),
        ("dynamicvit", "deit_tiny_patch16_224", "vit", "cifar100", 64, "cifar10"),
        ("dense", "levit_cifar", "levit", "cifar10", 32, "cifar10"),
        ("dense", "deit_tiny_patch16_224", "vit", "flowers", 224, "finetune"),
        ("dense", "vit_cifar", "vit", "flowers", 32, "finetune"),
    ],
)
def test_the_recipe_that_is_for_backbone_and_data_is_taken(
    method: str, backbone: str, family: str, dataset: str, size: int, recipe: str
) -> None:
    assert chosen(method, backbone, family, dataset, size) == recipe


@pytest.mark.parametrize(
    ("backbone", "family"), [("vit_digits", "vit"), ("deit_tiny_patch16_224", "vit"), ("t2t_vit_12", "t2t")]
)
def test_a_family_is_told_from_the_model(backbone: str, family: str) -> None:
    assert family_of(build(BackboneSpec(backbone))) == family
    assert family_of(build(BackboneSpec("levit_cifar", num_classes=10))) == "levit"


@pytest.mark.parametrize(
    ("method", "backbone", "family", "dataset", "size"),
    [
        ("mia", "vit_cifar", "vit", "flowers", 32),
        ("dvt", "t2t_vit_19", "t2t", "imagenet", 224),
        ("dynamicvit", "levit_192", "levit", "imagenet", 224),
    ],
)
def test_where_none_fits_the_choices_are_said(method: str, backbone: str, family: str, dataset: str, size: int) -> None:
    with pytest.raises(InputError, match=f"no recipe of {method} is for {backbone} on {dataset}") as error:
        chosen(method, backbone, family, dataset, size)
    for name, recipe in methods.get(method).recipes.items():
        assert f"--recipe {name} (for {recipe.scope})" in str(error.value)


def test_where_several_fit_they_are_said_and_no_other() -> None:
    recipes = {"one": PLAIN, "two": PLAIN, "small": replace(PLAIN, scope=Scope(below_size=32))}
    what = Situation("vit_x", "vit", "flowers", 224)
    with pytest.raises(InputError, match=r"several recipes of m are for .*--recipe one .*or --recipe two") as error:
        choose_recipe("m", recipes, what)
    assert "small" not in str(error.value)
    assert choose_recipe("m", recipes, what, "two").name == "two"
    # As it always was: of recipes that say nothing, the one that is called like the data set.
    assert choose_recipe("m", {**recipes, "flowers": PLAIN}, what).name == "flowers"
    with pytest.raises(InputError, match="has no recipe"):
        choose_recipe("m", {}, what)


SCOPES = st.builds(
    Scope,
    backbones=st.sampled_from([(), ("vit",), ("levit",), ("deit*",)]),
    datasets=st.sampled_from([(), ("digits",), ("cifar10", "cifar100")]),
    from_size=st.sampled_from([0, 160]),
    below_size=st.sampled_from([0, 160]),
    by_name=st.booleans(),
)
SITUATIONS = st.builds(
    Situation,
    backbone=st.sampled_from(["deit_tiny_patch16_224", "levit_192", "vit_digits"]),
    family=st.sampled_from(["vit", "levit"]),
    dataset=st.sampled_from(["digits", "cifar100", "flowers"]),
    image_size=st.sampled_from([8, 64, 160, 224]),
)


@given(st.dictionaries(st.sampled_from("abcde"), SCOPES, min_size=1), SITUATIONS)
def test_what_is_taken_unasked_fits_and_is_the_only_one_of_its_kind(
    scopes: Mapping[str, Scope], what: Situation
) -> None:
    recipes = {name: replace(PLAIN, scope=scope) for name, scope in scopes.items()}
    fitting = [name for name, scope in scopes.items() if scope.fits(what) and not scope.by_name]
    named = [name for name in fitting if what.dataset in scopes[name].datasets]
    if len(named or fitting) == 1:
        found = choose_recipe("m", recipes, what)
        assert ([found.name], found.caution) == (named or fitting, "")
    else:
        with pytest.raises(InputError, match=r"^(no recipe|several recipes) of m"):
            choose_recipe("m", recipes, what)
    for name, scope in scopes.items():
        assert bool(choose_recipe("m", recipes, what, name).caution) is not scope.fits(what)


def test_an_asked_recipe_that_is_for_something_else_trains_and_says_so(tmp_path: Path) -> None:
    asked = request("plain", method="dense", epochs=1).model_copy(update={"recipe": "cifar10"})
    with pytest.warns(UserWarning, match="recipe cifar10 of dense is for cifar10, cifar100, and trains vit_digits"):
        train_to(tmp_path / "out", asked)


@given(st.integers(1, 5000), st.sampled_from([64, 1024]), st.sampled_from([1, 3]))
def test_few_images_get_a_smaller_batch_at_its_rate(images: int, batch: int, repeats: int) -> None:
    recipe = replace(PLAIN, batch_size=batch, augment=Augment(repeats=repeats), min_lr=1e-5)
    made, said = fitted(recipe, images, may_shrink=True)
    assert (said != "") == (made != recipe)
    if images * repeats >= batch:
        assert made == recipe
    elif images * repeats >= 80:
        assert images * repeats // made.batch_size >= 10
    assert made.lr / made.batch_size == pytest.approx(recipe.lr / batch)
    assert made.min_lr / made.lr == pytest.approx(recipe.min_lr / recipe.lr)
    assert fitted(recipe, images, may_shrink=False) == (recipe, "")


def test_a_batch_that_is_asked_for_keeps_the_rate_unless_it_is_scaled() -> None:
    asked = request(batch_size=16, scale_lr=None)
    assert as_asked(PLAIN, asked) == replace(PLAIN, batch_size=16)
    assert as_asked(PLAIN, request(batch_size=16, scale_lr=True)) == resized(PLAIN, 16)
    assert as_asked(PLAIN, request(batch_size=16, lr=0.5)).lr == 0.5


def test_a_thousand_images_train_by_a_recipe_for_a_million(tmp_path: Path) -> None:
    asked = request("finetune", method="dense", epochs=1, limit_train=100, seed=3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train_to(tmp_path / "out", asked)
    assert any("a batch of 1,024 is more than the 100 images: 8 at a learning rate of" in str(w.message) for w in said)
    with pytest.raises(InputError, match="a step must have at most the 100 images"):
        train_to(tmp_path / "b", asked.model_copy(update={"batch_size": 1024}))
