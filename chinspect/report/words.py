"""What stands in all figures."""

GLOSSARY = "The words of this figure: see GLOSSARY.md of chinspect."
"""Where a stranger looks up what a figure says."""
