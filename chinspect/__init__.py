"""chinspect finds, proves and fixes Clever Hans effects in unsupervised vision models."""

__version__ = "0.1.0"
