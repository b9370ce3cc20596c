"""The same work in the textbook manner: what the rest of this folder is compared with.

Fp32, one image at a time in the loader, plain Adam, two passes of D one after the other, `.item()` in every step. The
networks are the course's own, with the same first weights, so that the losses of both must agree, step for step.
Nothing here is made slow on purpose: it is what tutorials on pix2pix, WGAN-GP and colorization print.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor, nn
from torch.utils.data import Dataset

from colorlib.devices import make_rng
from colorlib.recipes import Recipe, build_discriminator, build_generator

Alpha = Callable[[int], Tensor]


def _adam(module: nn.Module, lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=lr, betas=betas, foreach=False, fused=False)


class TextbookGAN:
    """Both networks of a recipe with an optimizer each, in fp32 and torch's own memory layout."""

    def __init__(self, recipe: Recipe, seed: int, device: torch.device) -> None:
        discriminator = build_discriminator(recipe, make_rng(seed, "discriminator"))
        assert discriminator is not None, "a textbook GAN has a discriminator"
        self.recipe, self.device = recipe, device
        self.generator = build_generator(recipe, make_rng(seed, "generator")).to(device).train()
        self.discriminator = discriminator.to(device).train()
        self.optimizer_g = _adam(self.generator, recipe.lr_g, recipe.betas)
        self.optimizer_d = _adam(self.discriminator, recipe.lr_d, recipe.betas)

    def score(self, L: Tensor, ab: Tensor) -> Tensor:
        return self.discriminator(torch.cat([L, ab], 1))


class TextbookPix2Pix(TextbookGAN):
    """Isola et al. 2017, as tutorials write it: D on real and fake, each on its own, then G."""

    def step(self, L: Tensor, ab: Tensor) -> dict[str, float]:
        bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
        L, ab = L.to(self.device), ab.to(self.device)
        fake = self.generator(L)

        self.optimizer_d.zero_grad()
        real_score = self.score(L, ab)
        loss_real = bce(real_score, torch.ones_like(real_score))
        fake_score = self.score(L, fake.detach())
        loss_fake = bce(fake_score, torch.zeros_like(fake_score))
        loss_d = (loss_real + loss_fake) * 0.5
        loss_d.backward()
        self.optimizer_d.step()

        self.optimizer_g.zero_grad()
        fake_score = self.score(L, fake)
        loss_gan = bce(fake_score, torch.ones_like(fake_score))
        loss_l1 = l1(fake, ab)
        loss_g = loss_gan + self.recipe.lambda_l1 * loss_l1
        loss_g.backward()
        self.optimizer_g.step()
        return {"d_loss": 2 * loss_d.item(), "g_adversarial": loss_gan.item(), "l1": loss_l1.item()}


class TextbookWGANGP(TextbookGAN):
    """Gulrajani et al. 2017, algorithm 1: `n_critic` updates of the critic, each with a fake of its own, then G.

    `detach`: cut the critic's fake off from G. Many published loops do not, and so take the critic's loss back through
    the whole generator for gradients that `zero_grad` then throws away.
    """

    def __init__(self, recipe: Recipe, seed: int, device: torch.device, *, detach: bool = True) -> None:
        super().__init__(recipe, seed, device)
        self.detach = detach

    def step(self, batches: Sequence[tuple[Tensor, Tensor]], alpha: Alpha | None = None) -> dict[str, float]:
        for i, (L, ab) in enumerate(batches):
            L, ab = L.to(self.device), ab.to(self.device)
            fake = self.generator(L)
            if self.detach:
                fake = fake.detach()
            mix = torch.rand(len(L), 1, 1, 1) if alpha is None else alpha(i)
            self.optimizer_d.zero_grad()
            loss_critic = self.score(L, fake).mean() - self.score(L, ab).mean()
            penalty = self.penalty(L, ab, fake, mix.to(self.device))
            (loss_critic + self.recipe.lambda_gp * penalty).backward()
            self.optimizer_d.step()
            d_loss, gp = loss_critic.item(), penalty.item()

        self.optimizer_g.zero_grad()
        fake = self.generator(L)
        loss_gan = -self.score(L, fake).mean()
        loss_l1 = nn.L1Loss()(fake, ab)
        (loss_gan + self.recipe.lambda_l1 * loss_l1).backward()
        self.optimizer_g.step()
        return {"d_loss": d_loss, "penalty": gp, "g_adversarial": loss_gan.item(), "l1": loss_l1.item()}

    def penalty(self, L: Tensor, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
        mixed = (alpha * real + (1 - alpha) * fake.detach()).requires_grad_(True)
        score = self.score(L, mixed).mean(dim=(1, 2, 3))
        (gradient,) = torch.autograd.grad(score, mixed, torch.ones_like(score), create_graph=True, retain_graph=True)
        return ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def to_lab(rgb: np.ndarray) -> tuple[Tensor, Tensor]:
    """L and ab of one image, in network units, by scikit-image."""
    lab = rgb2lab(rgb).astype(np.float32)
    tensor = torch.from_numpy(lab.transpose(2, 0, 1).copy())
    return tensor[:1] / 50 - 1, tensor[1:] / 110


class TextbookDataset(Dataset):
    """Files, opened and converted each time they are asked for."""

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths, self.size = list(paths), size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.paths[i]).convert("RGB")
        image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        if np.random.default_rng(i).random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return to_lab(np.array(image))


def textbook_colorize(generator: nn.Module, size: int, paths: Sequence[Path], out: Path, device: torch.device) -> None:
    """Open, network, enlarge ab to the photograph's size, join with its L, save: a photograph at a time."""
    generator.eval()
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        photo = Image.open(path).convert("RGB")
        small, _ = to_lab(np.array(photo.resize((size, size), Image.Resampling.BICUBIC)))
        with torch.no_grad():
            ab = generator(small.unsqueeze(0).to(device))
        ab = nn.functional.interpolate(ab, size=photo.size[::-1], mode="bicubic", align_corners=False)[0].cpu().numpy()
        L = rgb2lab(np.array(photo))[..., :1]
        lab = np.concatenate([L, 110 * ab.transpose(1, 2, 0)], axis=2)
        rgb = lab2rgb(lab)
        Image.fromarray((rgb * 255).round().astype(np.uint8)).save(out / path.name)
