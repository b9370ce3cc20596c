"""Recipes: what is refused, what comes back from JSON, and the presets' numbers from the papers."""

import json

import pytest
import torch

from colorlib.discriminators import PatchGAN, receptive_field
from colorlib.efficientnet import EfficientNetLite0
from colorlib.generators import BackboneUNet, ResUNet, UNet
from colorlib.losses import WASSERSTEIN
from colorlib.recipes import ADDED_LATER, RECIPES, Recipe, build_discriminator, build_generator, find_recipe


def test_presets_are_those_of_the_course() -> None:
    names = ["l1", "pix2pix", "lsgan", "hinge", "wgan", "wgan-gp", "resunet-wgan-gp"]
    assert list(RECIPES) == [*names, "backbone-l1", "backbone-pix2pix"]
    assert all(recipe.name == name for name, recipe in RECIPES.items())


def test_pix2pix_has_the_papers_numbers() -> None:
    pix2pix = RECIPES["pix2pix"]
    assert (pix2pix.lambda_l1, pix2pix.d_loss_weight, pix2pix.batch_size, pix2pix.epochs) == (100, 0.5, 1, 200)
    assert (pix2pix.lr_g, pix2pix.lr_d, pix2pix.betas, pix2pix.dropout) == (2e-4, 2e-4, (0.5, 0.999), 0.5)
    assert (pix2pix.resolved_depth, pix2pix.resolved_receptive_field, pix2pix.width) == (8, 70, 64)


def test_wasserstein_presets_have_the_papers_numbers() -> None:
    wgan, gp = RECIPES["wgan"], RECIPES["wgan-gp"]
    assert (wgan.clip, wgan.n_critic, wgan.optimizer, wgan.lr_g, wgan.lr_d) == (0.01, 5, "rmsprop", 5e-5, 5e-5)
    assert (gp.lambda_gp, gp.n_critic, gp.optimizer, gp.lr_g, gp.betas) == (10, 5, "adam", 1e-4, (0.0, 0.9))
    assert gp.clip is None and wgan.lambda_gp == 0 and gp.loss is WASSERSTEIN
    assert gp.norm not in ("batch", "spectral")  # a penalty on each sample's gradient needs samples kept apart


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(name: str) -> None:
    assert Recipe.from_json(RECIPES[name].to_json()) == RECIPES[name]


def test_fingerprint_tells_recipes_apart() -> None:
    prints = {recipe.fingerprint for recipe in RECIPES.values()}
    assert len(prints) == len(RECIPES)
    assert RECIPES["l1"].replace(dropout=0.4).fingerprint not in prints
    assert RECIPES["l1"].replace(dropout=0.5).fingerprint in prints


def test_younger_hyperparameters_leave_old_recipes_as_they_were() -> None:
    """Files and fingerprints from before they were added stay good, and they tell recipes apart all the same."""
    recipe = RECIPES["pix2pix"]
    assert recipe.fingerprint == "9d50ac15bfaa"  # as it stands beside rows that were measured before
    changes = {
        "zoom": 1.5, "tone": 0.5, "cutmix": 0.5, "accumulate": 2, "checkpointing": True, "backbone": "resnet34",
        "pretrained": True, "encoder_lr": 0.1, "encoder_frozen": 0.4, "d_scale": 4, "lr_schedule": "cosine",
        "weight_decay": 0.05, "blur": 0.3, "noise": 0.04,
    }  # fmt: skip
    assert changes.keys() == set(ADDED_LATER)
    assert not changes.keys() & json.loads(recipe.to_json()).keys()
    for field, value in changes.items():
        changed = recipe.replace(batch_size=2, **{field: value})
        assert changed.fingerprint != recipe.replace(batch_size=2).fingerprint
        assert Recipe.from_json(changed.to_json()) == changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adversarial": "wgan"}, "one of none, vanilla, lsgan, hinge, wasserstein"),
        ({"lambda_l1": -1.0}, "lambda_l1"),
        ({"lambda_l1": float("nan")}, "lambda_l1"),
        ({"n_critic": 0}, "n_critic"),
        ({"n_critic": 1.5}, "n_critic"),
        ({"batch_size": True}, "batch_size"),
        ({"betas": (0.5, 1.0)}, "betas"),
        ({"betas": (0.5,)}, "betas"),
        ({"clip": 0.0}, "clip"),
        ({"dropout": 1.0}, "dropout"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"depth": 9}, "depth"),
        ({"receptive_field": 71}, "1, 16, 34, 70, 142, 286"),
        ({"receptive_field": 70, "size": 32}, "try 16"),
        ({"adversarial": "none", "lambda_l1": 0.0}, "nothing to learn"),
        ({"steps": 0}, "steps"),
        ({"zoom": 0.9}, "zoom"),
        ({"tone": 1.1}, "tone"),
        ({"cutmix": -0.1}, "cutmix"),
        ({"accumulate": 0}, "accumulate above 0"),
        ({"accumulate": 3, "batch_size": 2}, "accumulate of at most batch_size, 2, got 3"),
        ({"checkpointing": 1}, "checkpointing as bool"),
        ({"batch_size": "auto"}, "batch_size as int"),
        ({"backbone": "resnet19"}, "efficientnet_lite0, resnet18, .*, got 'resnet19'"),
        ({"pretrained": "yes"}, "pretrained as bool"),
        ({"encoder_lr": -0.1}, "encoder_lr of at least 0"),
        ({"encoder_frozen": 1.1}, "encoder_frozen in 0..1"),
        ({"d_scale": 0}, "d_scale above 0"),
        ({"d_scale": 3}, "d_scale divides, got 256 and 3"),
        ({"d_scale": 8, "receptive_field": 142}, "at least 48 px for a receptive field of 142, got 32"),
        ({"lr_schedule": "step"}, "constant, linear, cosine"),
        ({"weight_decay": -0.1}, "weight_decay of at least 0"),
        ({"weight_decay": 0.1, "optimizer": "rmsprop"}, "weight_decay of 0 with rmsprop"),
        ({"blur": 2.0}, "blur in 0..1"),
        ({"noise": -1.0}, "noise of at least 0"),
        ({"width": "64"}, "width"),
        ({"lamda_l1": 10}, "no lamda_l1"),
    ],
)
def test_bad_values_are_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RECIPES["pix2pix"].replace(**change)


def test_a_new_target_replaces_the_old_one() -> None:
    recipe = RECIPES["pix2pix"].replace(minutes=2)
    assert (recipe.steps, recipe.epochs, recipe.minutes) == (None, None, 2)
    with pytest.raises(ValueError, match="exactly one stopping target"):
        recipe.replace(steps=3, epochs=3)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v.pop("width"), "no width"),
        (lambda v: v.update(widht=3), "unknown widht"),
        (lambda v: v.update(width="wide"), "width"),
        (lambda v: v.update(betas=[0.5]), "betas"),
        (lambda v: v.update(generator="gpt"), "unet, resunet, backbone"),
        (lambda v: v.update(betas=None), "betas"),
    ],
)
def test_a_recipe_edited_by_hand_says_what_is_wrong(edit, message: str) -> None:
    values = json.loads(RECIPES["l1"].to_json())
    edit(values)
    with pytest.raises(ValueError, match=message):
        Recipe.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_text_that_is_no_recipe(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Recipe.from_json(text)


def test_automatic_depth_and_receptive_field() -> None:
    recipe = RECIPES["pix2pix"]
    sizes = [(32, 5, 16), (64, 6, 16), (128, 7, 34), (256, 8, 70), (512, 8, 142), (2, 1, 1)]
    for size, depth, field in sizes:
        at_size = recipe.replace(size=size)
        assert (at_size.resolved_depth, at_size.resolved_receptive_field) == (depth, field)
    assert recipe.replace(generator="resunet").resolved_depth == 4
    assert recipe.replace(depth=3, receptive_field=34).resolved_depth == 3


def test_the_receptive_field_is_that_of_the_image_that_d_sees() -> None:
    recipe = RECIPES["pix2pix"].replace(size=128, d_scale=4, d_width=4)
    assert recipe.resolved_receptive_field == 16
    for field in (1, 16, 34):  # the largest takes more than the 32 px, and sees them with the padding beyond
        scores = build_discriminator(recipe.replace(receptive_field=field))(torch.zeros(1, 3, 32, 32))
        assert min(scores.shape[2:]) >= 1
    smallest = recipe.replace(size=4 * 12, receptive_field=34)
    assert build_discriminator(smallest)(torch.zeros(1, 3, 12, 12)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="at least 12 px"):
        recipe.replace(size=4 * 11, receptive_field=34)


def test_a_recipe_of_the_first_edition_is_on_an_untrained_resnet18() -> None:
    """Runs of that time name no backbone in their recipe.json."""
    values = json.loads(RECIPES["pix2pix"].replace(generator="backbone", width=4).to_json())
    assert "backbone" not in values and "pretrained" not in values
    recipe = Recipe.from_json(json.dumps(values))
    assert (recipe.backbone, recipe.pretrained, recipe.encoder_lr, recipe.encoder_frozen) == ("resnet18", False, 1, 0)
    generator = build_generator(recipe)
    assert not generator.pretrained and sum(p.numel() for p in generator.stages.parameters()) == 11_176_512


@pytest.mark.slow
def test_backbone_presets_start_from_the_encoder_that_ships() -> None:
    for name in ("backbone-l1", "backbone-pix2pix"):
        preset = RECIPES[name].replace(width=4)
        assert (preset.generator, preset.backbone, preset.pretrained) == ("backbone", "efficientnet_lite0", True)
        generator = build_generator(preset)
        empty = build_generator(preset, weights=False)  # for weights that are loaded afterwards
        assert torch.equal(generator.stages[0][0].weight, EfficientNetLite0(pretrained=True).stages[0][0].weight)
        assert not torch.equal(generator.stages[0][0].weight, empty.stages[0][0].weight)
        assert not generator.stages[0][1].training and not empty.stages[0][1].training


def test_the_right_networks_are_built(rng: torch.Generator) -> None:
    small = RECIPES["pix2pix"].replace(size=32, width=4, d_width=4)
    kinds = {"unet": UNet, "resunet": ResUNet, "backbone": BackboneUNet}
    for name, kind in kinds.items():
        assert isinstance(build_generator(small.replace(generator=name), rng), kind)
    discriminator = build_discriminator(small.replace(conditional=False), rng)
    assert isinstance(discriminator, PatchGAN) and receptive_field(discriminator) == 16
    assert discriminator(torch.zeros(1, 2, 32, 32)).shape[1] == 1
    assert build_discriminator(small.replace(adversarial="none"), rng) is None


def test_same_rng_same_weights() -> None:
    recipe = RECIPES["pix2pix"].replace(size=16, width=4)
    first, second, other = (build_generator(recipe, torch.Generator().manual_seed(s)).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_unknown_recipe_lists_the_right_ones() -> None:
    assert find_recipe("l1") is RECIPES["l1"]
    with pytest.raises(ValueError, match=r"l1, pix2pix, .*wgan-gp"):
        find_recipe("cyclegan")


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_what_a_recipe_changes_of_its_preset_gives_it_back(name):
    assert RECIPES[name].changes() == {}
    other = RECIPES[name].replace(minutes=3.0, lambda_l1=7.0, betas=(0.1, 0.2), conditional=False)
    assert other.changes() == {"lambda_l1": 7.0, "betas": (0.1, 0.2), "conditional": False, "minutes": 3.0}
    assert RECIPES[name].replace(**other.changes()) == other
