"""Readouts: linear classifiers of frozen embeddings, scored by subgroup, with and without an artefact.

>>> from chinspect.encoders import load_encoder
>>> from chinspect.readouts import folder_task, load_classes
>>> task = folder_task(load_classes("vehicles"))  # doctest: +SKIP
>>> task.score(load_encoder("tiny-clip"), cache="cache")  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
