"""Contrastive predictive coding, the paper's self-supervised baseline (section 2.5; van den Oord et al., 2018).

A strided convolutional encoder turns audio into latents z_t, a GRU sums up those until t as the context c_t, and one
linear map for each of K steps predicts z_{t+k} from c_t. The loss asks for the prediction to fit the latent that came
better than others drawn from the batch.
"""

from clmr.cpc.encoder import latent_count
from clmr.cpc.features import CpcFeatures, load_features
from clmr.cpc.loss import InfoNceOutput, info_nce
from clmr.cpc.model import CPC
from clmr.cpc.negatives import draw_negatives

__all__ = ["CPC", "CpcFeatures", "InfoNceOutput", "draw_negatives", "info_nce", "latent_count", "load_features"]
