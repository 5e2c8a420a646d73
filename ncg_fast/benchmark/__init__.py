"""Speed of the ops against eager torch, on tensors that equal the reference first."""
