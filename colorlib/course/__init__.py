"""What only the notebooks need: setup, modes, exercises, parity checks, sliders, experiments.

Names load on first use, so that a notebook without sliders does not need ipywidgets.
"""

import lazy_loader

_NAMES = {
    "setup": ["platform", "setup", "storage"],
    "mode": ["Config", "configure"],
    "full": ["torchrun_command", "train_run"],
    "parity": ["assert_same_function", "assert_same_module"],
    "source": ["show_source"],
    "widgets": ["Panel", "choice", "slider", "toggle", "uploads"],
    "experiments": ["quote", "rerun"],
}

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["exercises"], submod_attrs=_NAMES)
