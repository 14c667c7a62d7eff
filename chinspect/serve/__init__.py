"""A run in the browser: pages of images, candidates and findings, read from disk when they are asked for.

The server is for one user of one machine: it listens on 127.0.0.1, answers GET and HEAD under its own name only, and
opens no file whose path comes from a request (see `chinspect.serve.guard` and `chinspect.serve.folder`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
