"""The bugs of notebook 13 show their symptoms, and their versions without a bug do not."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from colorlib.course import bugs
from colorlib.devices import make_rng
from colorlib.discriminators import PatchGAN


@pytest.mark.parametrize("what", bugs.networks())
def test_a_cut_off_weight_never_moves(what):
    network, cut = bugs.networks()[what]
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    x = torch.randn(2, 4, 6, 6, generator=make_rng(0, "input"))
    for _ in range(3):
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()
    moved = [not torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True)]
    assert all(moved) != cut and any(moved)


@pytest.mark.parametrize("with_bug", [bugs.DetachedBlock, bugs.HiddenSkip])
def test_the_bug_does_not_show_in_the_output(with_bug):
    without = {bugs.DetachedBlock: bugs.Block, bugs.HiddenSkip: bugs.PlainSkip}[with_bug]()
    broken = with_bug()
    broken.load_state_dict(without.state_dict())
    x = torch.randn(2, 4, 6, 6, generator=make_rng(0, "input"))
    torch.testing.assert_close(broken(x), without(x))


@pytest.mark.parametrize("what", bugs.STEPS)
def test_a_backwards_critic_scores_fakes_above(what):
    step, backwards = bugs.STEPS[what]
    critic, optimizer, real, fake = bugs.critic_at_work()
    with torch.no_grad():
        assert critic(real).mean() < critic(fake).mean()  # begins the wrong way round
    for _ in range(200):
        step(critic, optimizer, real, fake)
    with torch.no_grad():
        assert (critic(real).mean() < critic(fake).mean()) == backwards
    assert max(p.abs().max() for p in critic.parameters()) <= bugs.CLIP


@pytest.mark.parametrize("what", bugs.splits())
def test_the_leaks_are_counted_right(what):
    (train, test), count = bugs.splits()[what]
    flipped = [photo.flip(-1) for photo in train]
    assert sum(any(torch.equal(t, p) for p in [*train, *flipped]) for t in test) == count


def test_the_photographs_differ():
    photos = bugs.photographs()
    assert len({p.numpy().tobytes() for p in torch.cat([photos, photos.flip(-1)])}) == 2 * len(photos)


@pytest.mark.parametrize("what", bugs.critics())
def test_the_share_of_the_gradient_on_other_samples(what):
    critic, mixes = bugs.critics()[what]
    x = torch.randn(4, 3, 16, 16, generator=make_rng(0, "batch"))
    share, own = bugs.foreign_share(critic.train(), x)
    assert (share > 1e-3) == mixes and own.min() > 0
    assert mixes or share == 0


def test_the_share_of_a_critic_that_averages_its_batch_is_known():
    class Average(nn.Module):
        def forward(self, x):
            return x.mean().expand(len(x), 1)

    share, _ = bugs.foreign_share(Average(), torch.ones(4, 3, 2, 2))
    assert share == pytest.approx(3 / 4)


def test_the_library_has_a_critic_for_either_verdict():
    x = torch.randn(4, 3, 32, 32, generator=make_rng(0, "batch"))
    critics = {n: PatchGAN(norm=n, receptive_field=16, rng=make_rng(0, "critic")) for n in ("batch", "none")}
    shares = {norm: bugs.foreign_share(critic, x)[0] for norm, critic in critics.items()}
    assert shares["none"] == 0 < shares["batch"]


def test_the_slope_of_the_slope_critic():
    critic = bugs.SlopeCritic(2.0)
    lab = torch.ones(1, 3, 4, 6)
    lab[:, 0] = 1.5
    lab.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(lab).sum(), lab)
    assert gradient[:, 1:].norm().item() == pytest.approx(3.0, rel=1e-5)


def test_gradients_in_one_vector_are_zero_where_none_arrives():
    x, y = torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True)
    assert bugs.gradient_of((3 * x).sum(), [x, y]).tolist() == [3, 3, 0]


def test_the_features_remember_their_range():
    features = bugs.Features()
    assert features(torch.tensor([0.0, 2.0]).expand(1, 3, 2, 2)).shape == (1, 5)
    assert features.seen == [(0.0, 2.0)]


def test_the_points_of_each_rubric_add_up_to_a_hundred():
    text = (Path(__file__).parents[2] / "notebooks" / "src" / "13_find_the_bug.py").read_text(encoding="utf-8")
    projects = text.split("# ### Project ")[1:]
    assert len(projects) == 3
    for project in projects:
        rubric = project.split("# %%")[0]
        assert sum(map(int, re.findall(r"^# \| \w+ \((\d+)\) \|", rubric, re.MULTILINE))) == 100
        assert all(part in rubric for part in ("**Question**", "**Data**", "**Deliverables**", "**Pitfalls**"))
