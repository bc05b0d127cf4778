#include "io/usage.h"

#include "clock.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

uint64_t usage_parse_host(const char *line)
{
    uint64_t user, nice, system, interrupts, soft_interrupts;

    if (strncmp(line, "cpu ", 4) != 0 ||
        sscanf(line, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %" SCNu64 " %" SCNu64, &user,
               &nice, &system, &interrupts, &soft_interrupts) != 5)
        return 0;
    return (user + nice + system + interrupts + soft_interrupts) *
           (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

void usage_read(struct usage *ret)
{
    FILE *file = fopen("/proc/stat", "re");
    char line[256];
    struct rusage own;

    (void)getrusage(RUSAGE_SELF, &own);
    *ret =
        (struct usage){.user_ns = timeval_ns(own.ru_utime), .system_ns = timeval_ns(own.ru_stime)};
    if (!file)
        return;
    if (fgets(line, sizeof(line), file))
        ret->host_ns = usage_parse_host(line);
    (void)fclose(file);
}

static int is_io_worker(const char *task)
{
    char path[300], name[16] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
    file = fopen(path, "re");
    if (!file)
        return 0;
    (void)!fgets(name, sizeof(name), file);
    (void)fclose(file);
    return strncmp(name, "iou-wrk", 7) == 0;
}

unsigned usage_io_workers(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    while (tasks && (entry = readdir(tasks)))
        if (entry->d_name[0] != '.' && is_io_worker(entry->d_name))
            count++;
    if (tasks)
        (void)closedir(tasks);
    return count;
}
