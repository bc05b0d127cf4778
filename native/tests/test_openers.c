#include "check.h"
#include "target/openers.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Stand-ins for /proc and /sys. The device is /dev/null, which needs no root. configfs must be
 * another filesystem, because openers_find() tells from st_dev whether it is mounted. */
static char root[64], config[64];

static const char *at(const char *format, ...)
{
    static char path[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    return path;
}

static void run(const char *command)
{
    if (system(command) != 0)
        abort();
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

static enum openers look(char reason[static 512])
{
    char proc[80], sys[80];
    const struct openers_roots roots = {.proc = proc, .sys = sys};
    struct nodes nodes = {.sys_root = sys, .character = {makedev(1, 3)}, .characters = 1};

    (void)snprintf(proc, sizeof(proc), "%s/proc", root);
    (void)snprintf(sys, sizeof(sys), "%s/sys", root);
    reason[0] = '\0';
    return openers_find(&roots, &nodes, reason);
}

static void expect(enum openers wanted, const char *word)
{
    char reason[512];
    enum openers found = look(reason);

    if (found != wanted || !strstr(reason, word)) {
        check_failures++;
        (void)fprintf(stderr, "got %d \"%s\", wanted %d \"%s\"\n", (int)found, reason, (int)wanted,
                      word);
    }
}

static void test_processes(void)
{
    expect(OPENERS_NONE, "");
    run(at("ln -s /dev/null %s/proc/77/fd/3", root));
    expect(OPENERS_FOUND,
           "process 77 (guest) has it open for writing; stop it first"); /* no fdinfo: unknown */
    put(at("%s/proc/77/fdinfo/3", root), "pos:\t0\nflags:\t0100000\n");
    expect(OPENERS_NONE, "");
    put(at("%s/proc/77/fdinfo/3", root), "pos:\t0\nflags:\t0100002\n");
    expect(OPENERS_FOUND, "process 77 (guest) has it open");
    put(at("%s/proc/77/fdinfo/3", root), "pos:\t0\nflags:\t0100001\n");
    expect(OPENERS_FOUND, "process 77 (guest) has it open");
    run(at("ln -sfn /dev/zero %s/proc/77/fd/3", root));
    expect(OPENERS_NONE, "");
    run(at("rmdir %s/proc/1", root));
    expect(OPENERS_UNSEEN, "processes of other users are hidden");
    run(at("mkdir %s/proc/1", root));
    run(at("ln -sfn /proc/self/ns/mnt %s/proc/self/ns/pid", root));
    expect(OPENERS_UNSEEN, "processes outside this PID namespace are hidden");
    run(at("ln -sfn /proc/self/ns/pid %s/proc/self/ns/pid", root));
}

static void test_nvmet(void)
{
    const char *one = "nvmet/subsystems/nqn/namespaces/1";

    put(at("%s/proc/filesystems", root), "nodev\tconfigfs\n\text4\n");
    expect(OPENERS_UNSEEN, "configfs is not mounted");
    run(at("ln -s %s %s/sys/kernel/config", config, root));
    expect(OPENERS_NONE, "");
    run(at("mkdir -p %s/%s", config, one));
    put(at("%s/%s/device_path", config, one), "/dev/null\n");
    put(at("%s/%s/enable", config, one), "1\n");
    expect(OPENERS_FOUND, "nvmet uses it; release the device first");
    put(at("%s/%s/enable", config, one), "0\n");
    expect(OPENERS_NONE, "");
    put(at("%s/%s/enable", config, one), "1\n");
    put(at("%s/%s/device_path", config, one), "/dev/zero\n");
    expect(OPENERS_NONE, "");
    put(at("%s/%s/device_path", config, one), "/dev/of/another/host\n");
    expect(OPENERS_UNSEEN, "nvmet uses /dev/of/another/host, which is not visible here");
    run(at("rm -r %s/nvmet", config));
}

static void test_loops(void)
{
    run(at("mkdir -p %s/sys/block/loop0/loop %s/sys/block/sda", root, root));
    put(at("%s/sys/block/loop0/loop/backing_file", root), "/etc/passwd\n");
    expect(OPENERS_NONE, "");
    put(at("%s/sys/block/loop0/loop/backing_file", root), "/dev/null\n");
    expect(OPENERS_FOUND, "loop0 uses it; release the device first");
    put(at("%s/sys/block/loop0/loop/backing_file", root), "/dev/not-here\n");
    expect(OPENERS_UNSEEN, "loop0 uses /dev/not-here");
    put(at("%s/sys/block/loop0/loop/backing_file", root), "/dev/shm/file (deleted)\n");
    expect(OPENERS_NONE, "");
}

int main(void)
{
    struct stat tmp, shm;

    (void)strcpy(root, "/tmp/test_openers.XXXXXX");
    (void)strcpy(config, "/dev/shm/test_openers.XXXXXX");
    if (stat("/proc/self/ns/pid", &tmp) < 0 || tmp.st_ino != 0xEFFFFFFCU)
        return CHECK_SKIP; /* in a container */
    if (stat("/tmp", &tmp) < 0 || stat("/dev/shm", &shm) < 0 || tmp.st_dev == shm.st_dev)
        return CHECK_SKIP;
    if (!mkdtemp(root) || !mkdtemp(config))
        abort();
    run(at("cd %s && mkdir -p proc/self/ns proc/1 proc/77/fd proc/77/fdinfo sys/kernel sys/block",
           root));
    run(at("ln -s /proc/self/ns/pid %s/proc/self/ns/pid", root));
    put(at("%s/proc/77/comm", root), "guest\n");
    put(at("%s/proc/filesystems", root), "nodev\tsysfs\n");
    test_processes();
    test_nvmet();
    test_loops();
    run(at("rm -r %s %s", root, config));
    return check_result();
}
