"Scores of representations: functions of (codes, factors)."
from sae_lit.metrics.dci import DCI, dci
from sae_lit.metrics.information import mig, mutual_information
