"""The long versions: how fast it is (`make bench`) and how long it stays right (`make soak`). Dated results."""
