"""Colorization with conditional GANs: the models, losses, data, training and inference of the course.

A public name is imported from its module when it is first used. `import colorlib` is therefore fast, prints nothing
and opens no file or network connection.
"""

import lazy_loader

_NAMES = {
    "color": ["rgb_to_lab", "lab_to_rgb", "split_lab", "join_lab"],
    "errors": ["CheckpointError", "ColorlibError", "DataError", "RunError", "TrainingDiverged"],
    "losses": [
        "ADVERSARIAL_LOSSES", "AdversarialLoss", "HINGE", "LSGAN", "VANILLA", "WASSERSTEIN",
        "bce_d_loss", "bce_g_loss", "clip_weights", "gradient_penalty", "hinge_d_loss", "hinge_g_loss", "l1_loss",
        "lsgan_d_loss", "lsgan_g_loss", "perceptual_loss", "wasserstein_d_loss", "wasserstein_g_loss",
    ],
    "generators": ["BackboneUNet", "ResUNet", "UNet"],
    "discriminators": ["PatchGAN", "receptive_field"],
    "datasets": ["Batches", "open_source"],
    "recipes": ["RECIPES", "Recipe", "build_discriminator", "build_generator"],
    "checkpoints": ["load_generator", "save_generator"],
    "inference": ["Colorizer"],
    "evaluation": ["evaluate"],
    "training": ["Trainer"],
}  # fmt: skip

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "blocks",
        "cli",
        "devices",
        "figures",
        "images",
        "metrics",
        "scenes",
        *_NAMES,
    ],
    submod_attrs=_NAMES,
)

__version__ = "0.1.0"
