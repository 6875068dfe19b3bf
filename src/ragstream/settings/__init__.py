"""Settings: what may be set, where each value comes from, and one clear line when it is wrong."""

from ragstream.settings.fields import Settings
from ragstream.settings.loading import Source, load, origins, prepare_data_dir, variable

__all__ = ["Settings", "Source", "load", "origins", "prepare_data_dir", "variable"]
