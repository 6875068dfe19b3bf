"""Settings: what may be set, where each value comes from, and one clear line when it is wrong."""

from ragstream.settings.fields import Settings
from ragstream.settings.loading import Source, load, look_up, origins, prepare_data_dir, variable
from ragstream.settings.providers import NamedProvider

__all__ = [
    "NamedProvider",
    "Settings",
    "Source",
    "load",
    "look_up",
    "origins",
    "prepare_data_dir",
    "variable",
]
