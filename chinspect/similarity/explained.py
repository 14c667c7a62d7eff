"""What each patch of one image contributes to its embedding."""

from __future__ import annotations

from PIL import Image
from torch import Tensor, nn

from chinspect.encoders import Encoder, check_finite
from chinspect.relevance import Contributions, Graph, Method, contributions, patches
from chinspect.similarity.image import ExplainedImage


def explain_image(
    encoder: Encoder,
    model: nn.Module | Graph,
    picture: Image.Image,
    method: Method,
    patch_size: int,
    *,
    name: str,
) -> ExplainedImage:
    """What each patch of one image contributes to its embedding; ``model`` is the encoder's (see `Method.reader`)."""
    x = encoder.prepare(picture)
    table = contributions(model, x, patches(patch_size), method)
    return explained_image(encoder, picture, x, table, patch_size, name)


def explained_image(
    encoder: Encoder, picture: Image.Image, x: Tensor, table: Contributions, patch_size: int, name: str
) -> ExplainedImage:
    """The same of contributions that are known, of the input ``x`` (1, C, H, W); refuses what is not finite."""
    check_finite(table.output[None], f"the embedding by {encoder.name!r}", encoder.module)
    check_finite(table.values[None], f"the relevance of {name}", encoder.module)
    return ExplainedImage.of(
        name,
        picture,
        encoder.preprocessing,
        patch_size,
        embedding=table.output.cpu().numpy(),
        contributions=table.values.cpu().numpy(),
        explained=table.explained.cpu().numpy(),
        sampling=table.sampling,
        input=x,
    )
