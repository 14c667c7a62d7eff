"""Long work over a data set: cut into shards, done here or by workers on Ray, kept in a store that cannot go stale.

>>> from chinspect.execute import load_samples, map_images
>>> samples = load_samples("photographs")  # doctest: +SKIP
>>> store = map_images(function, samples, "store", shard_size=16, workers=4)  # doctest: +SKIP
>>> store.arrays("embeddings").shape  # doctest: +SKIP
(1000, 2048)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
