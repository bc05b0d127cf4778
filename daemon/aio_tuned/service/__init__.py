"""The daemon: inventory, state machine, supervisor, scheduler, publisher, status and control socket."""
