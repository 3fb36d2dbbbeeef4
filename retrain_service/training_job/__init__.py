"""One run, from decision to verdict: the daemon's side and the child's."""
