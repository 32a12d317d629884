"""What a database knows about itself: the cache of extracted metadata.

The modules have the names under which programs know them: ``cacheness.catalog.metadata_cache``.
"""

from .metadata_cache import MetadataCache

__all__ = ["MetadataCache"]
