"""The model that is looked at where none is named."""

DEFAULT = "efficientnet-lite0"
"""A real network for photographs, whose weights come from a package that is installed beside this one."""
