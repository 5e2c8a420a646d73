"""The restricted Boltzmann machine, its digits, and the units it takes and gives."""
