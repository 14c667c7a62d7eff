"""Class activation maps: where in an image the activations lie that an output depends on."""

from chinspect.cam.grad_cam import grad_cam

__all__ = ["grad_cam"]
