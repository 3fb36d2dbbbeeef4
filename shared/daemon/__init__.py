"""How a process of ours lives: loops, stop, logs, one instance, liveness, memory."""
