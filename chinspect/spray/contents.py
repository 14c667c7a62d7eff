"""What the folder of a run holds beside its candidates' folders; light enough to be asked before torch is loaded."""

FILES = (
    "run.json",
    "spray.html",
    "embedding.png",
    "spectrum.png",
    "candidates.csv",
    "candidates.parquet",
    "samples.parquet",
    "maps.npy",
)
"""Those that a reader starts with first."""
