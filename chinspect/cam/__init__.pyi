from .gradients import grad_cam

__all__ = ["grad_cam"]
