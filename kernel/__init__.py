"""The rules of work: tasks, messages, retry, breaker, dispatch. Pure: no I/O, no clock of its own."""
