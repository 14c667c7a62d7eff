"""Groups without labels: which images a classifier treats alike, and heads that are right for all of them.

>>> groups = pseudo_groups(maps, labels)  # doctest: +SKIP
>>> head = DFR().fit(embeddings, labels, groups.ids)  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
