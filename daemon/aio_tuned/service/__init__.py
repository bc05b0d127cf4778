"""The daemon: supervisor, state machine, inventory, publisher, scheduler, status and control socket."""
