"Grids of runs: `run_study` does what is missing of one, `table` says what it shows."

from sae_lit.studies.grids import STUDIES, Study, read_study
from sae_lit.studies.ledger import SCORES, Comparison, Score, Table, decide, overview, table
from sae_lit.studies.measures import MEASURES
from sae_lit.studies.runner import TRAINING_VERSION, run_study
