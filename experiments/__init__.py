"""Studies: each folder is one, whose ``__main__.py`` says how it is run; `experiments.study` is what all share."""
