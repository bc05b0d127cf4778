#include "watch.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int watch_open(struct watch *watch, struct fault *fault)
{
    sigset_t signals;

    *watch =
        (struct watch){.signal_fd = -1, .guard_fd = -1, .next_tick_ns = clock_now_ns() + NS_PER_S};
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    watch->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watch->signal_fd < 0)
        return fault_set(fault, FAULT_SYSTEM, "signalfd", errno, "signalfd: cannot be created: %s",
                         strerror(errno));
    return 0;
}

void watch_close(struct watch *watch)
{
    if (watch->signal_fd >= 0)
        (void)close(watch->signal_fd);
    watch->signal_fd = -1;
}

static void take_signals(struct watch *watch)
{
    struct signalfd_siginfo info;

    while (read(watch->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        watch->stopped = true;
}

bool watch_stopped(struct watch *watch)
{
    struct pollfd guard = {.fd = watch->guard_fd, .events = POLLIN};

    take_signals(watch);
    if (poll(&guard, 1, 0) > 0)
        watch->stopped = true;
    return watch->stopped;
}

static bool tick_due(struct watch *watch, uint64_t now_ns)
{
    if (now_ns < watch->next_tick_ns)
        return false;
    watch->next_tick_ns = now_ns + NS_PER_S;
    return true;
}

enum watch_event watch_wait(struct watch *watch, int fd, bool ticking, bool stop_on_signal)
{
    for (;;) {
        /* ppoll ignores negative descriptors. The guard stays readable: poll it only once. */
        struct pollfd fds[3] = {{.fd = fd, .events = POLLIN},
                                {.fd = watch->signal_fd, .events = POLLIN},
                                {.fd = watch->stopped ? -1 : watch->guard_fd, .events = POLLIN}};
        uint64_t now_ns = clock_now_ns();
        struct timespec timeout = {0};
        int r;

        /* An earlier wait without stop_on_signal may have read the signal. */
        if (stop_on_signal && watch->stopped)
            return WATCH_STOPPED;
        if (watch->next_tick_ns > now_ns) {
            timeout.tv_sec = (time_t)((watch->next_tick_ns - now_ns) / NS_PER_S);
            timeout.tv_nsec = (long)((watch->next_tick_ns - now_ns) % NS_PER_S);
        }
        r = ppoll(fds, 3, ticking ? &timeout : NULL, NULL);
        if (r > 0 && fds[1].revents)
            take_signals(watch);
        if (r > 0 && fds[2].revents)
            watch->stopped = true;
        if (r > 0 && fds[0].revents)
            return WATCH_READY;
        if (ticking && !(stop_on_signal && watch->stopped) && tick_due(watch, clock_now_ns()))
            return WATCH_TICK;
    }
}
