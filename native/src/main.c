/* aio-sweep, as specified in ../PROTOCOL.md. */
#include "clock.h"
#include "protocol/emit.h"
#include "protocol/options.h"
#include "sweep.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    uint64_t start_ns = clock_now_ns();
    pid_t parent = getppid();
    struct options options;
    struct fault fault = {0};
    struct emit emit;

    /* An orphaned helper would wear the drive for nothing. SIGTERM, unlike SIGKILL, lets it zero a
     * written device. No signal is sent if the parent died before prctl(). */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        return FAULT_SYSTEM;

    if (options_parse(argc, argv, &options, &fault) < 0) {
        (void)signal(SIGPIPE, SIG_IGN);
        if (emit_open(&emit, STDOUT_FILENO) < 0)
            return FAULT_SYSTEM;
        sweep_report(&emit, &fault, &(struct sweep_details){0});
        emit_close(&emit);
        return (int)fault.code;
    }
    if (options.help || options.version) {
        (void)fputs(options.help ? options_usage : "aio-sweep " AIO_SWEEP_VERSION "\n", stdout);
        return fflush(stdout) == 0 ? 0 : FAULT_IO;
    }
    return sweep_run(&options, start_ns);
}
