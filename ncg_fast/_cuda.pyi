from ncg_fast._cpu import anneal as anneal
from ncg_fast._cpu import connection_gradient as connection_gradient
from ncg_fast._cpu import free_energy as free_energy
from ncg_fast._cpu import gibbs_steps as gibbs_steps
from ncg_fast._cpu import mean as mean
from ncg_fast._cpu import ncg_update_ as ncg_update_
from ncg_fast._cpu import pack_states as pack_states
from ncg_fast._cpu import pack_weights as pack_weights
from ncg_fast._cpu import phase_sums as phase_sums
from ncg_fast._cpu import sample as sample
from ncg_fast._cpu import scan_weights as scan_weights
from ncg_fast._cpu import scratch_bytes as scratch_bytes
from ncg_fast._cpu import train_steps_ as train_steps_
from ncg_fast._cpu import unpack_states as unpack_states
from ncg_fast._cpu import update_from_sums_ as update_from_sums_

def missing() -> str: ...
