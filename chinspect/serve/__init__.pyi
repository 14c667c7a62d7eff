from .application import build_application
from .run import Run, open_run
from .server import serve

__all__ = [
    "Run",
    "build_application",
    "open_run",
    "serve",
]
