"""Sources of photographs that are opened by name, and the training batches that are made from them."""

from colorlib.datasets.base import SPLITS, ArraySource, Source
from colorlib.datasets.batches import Batches
from colorlib.datasets.folder import open_folder
from colorlib.datasets.gallery import GalleryPhoto, GallerySource, gallery_photos, open_gallery
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
    "GalleryPhoto",
    "GallerySource",
    "SceneSource",
    "Source",
    "download",
    "gallery_photos",
    "list_sources",
    "open_folder",
    "open_gallery",
    "open_kaggle",
    "open_photos",
    "open_source",
]
