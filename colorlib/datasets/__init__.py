"""Sources of photographs, opened by name, and the batches that training draws from them."""

from colorlib.datasets.base import SPLITS, ArraySource, Source
from colorlib.datasets.batches import Batches
from colorlib.datasets.folder import open_folder
from colorlib.datasets.kaggle import open_kaggle
from colorlib.datasets.open import SPECS, list_sources, open_source
from colorlib.datasets.photos import open_photos
from colorlib.datasets.published import download
from colorlib.datasets.scenes import SceneSource

__all__ = [
    "SPECS",
    "SPLITS",
    "ArraySource",
    "Batches",
    "SceneSource",
    "Source",
    "download",
    "list_sources",
    "open_folder",
    "open_kaggle",
    "open_photos",
    "open_source",
]
