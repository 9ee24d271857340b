"""Many concepts at once: a Ray cluster, or this machine, makes pairs, adapters, figures and files of each."""
