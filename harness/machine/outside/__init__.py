"""A server that is any command, observed from outside: its whole tree of processes, by the kernel.

`observed` is what the lab calls. It starts a keeper (`keeper`), a process that the server and all
its descendants belong to, which looks at them (`tree`, `events`) and ends them.
"""
