from .attention import legrad, rollout
from .clusters import clus_cam
from .gradients import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from .layer import Layer, enlarged, last_grid, open_layer
from .named import METHODS, cam
from .perturbations import ablation_cam, eigen_cam, rise, score_cam, shap_cam
from .question import Target

__all__ = [
    "METHODS",
    "Layer",
    "Target",
    "ablation_cam",
    "cam",
    "clus_cam",
    "eigen_cam",
    "enlarged",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "last_grid",
    "layer_cam",
    "legrad",
    "open_layer",
    "rise",
    "rollout",
    "score_cam",
    "shap_cam",
]
