"""Long work over a data set: cut into shards, done here or by workers on Ray, kept in a store that cannot go stale.

>>> from chinspect.execute import Store, load_samples, run
>>> store = run(job, "attributions", workers=4)  # doctest: +SKIP
>>> store.arrays("embeddings").shape  # doctest: +SKIP
(1000, 2048)
"""

from chinspect.execute.job import Job
from chinspect.execute.run import run
from chinspect.execute.samples import Samples, load_samples
from chinspect.execute.store import Store

__all__ = ["Job", "Samples", "Store", "load_samples", "run"]
