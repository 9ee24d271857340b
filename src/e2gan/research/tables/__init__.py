"""Each of the paper's tables and figures as one command (`e2gan table N`)."""
