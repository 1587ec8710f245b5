"Scores of representations: functions of (codes, factors), of pictures, and of models."

from sae_lit.metrics.dci import DCI, dci
from sae_lit.metrics.disentanglement import Disentanglement, disentanglement
from sae_lit.metrics.explicitness import explicitness
from sae_lit.metrics.fidelity import fidelity, model_fidelity
from sae_lit.metrics.infomec import InfoMEC, infomec
from sae_lit.metrics.information import mig, modularity, mutual_information
from sae_lit.metrics.irs import irs
from sae_lit.metrics.order import home_variable, nonlinearity, order_correlation
from sae_lit.metrics.responses import (
    causal_completeness,
    causal_disentanglement,
    chunk_matrix,
    conditioned_responses,
    hybrid_risk,
    relative_responses,
    response_matrix,
    unused_latents,
)
from sae_lit.metrics.sap import sap
from sae_lit.metrics.votes import beta_vae_score, factor_vae_score
