from .classifier import Classifier
from .subject import Kind, Pixels, Subject, check_subject

__all__ = ["Classifier", "Kind", "Pixels", "Subject", "check_subject"]
