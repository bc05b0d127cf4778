#include "target/openers.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define REASON_BYTES 512
/* The inode of the first PID namespace: include/linux/proc_ns.h, PROC_PID_INIT_INO. */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCU

static const char grant[] =
    "run as root, or give the unit CAP_SYS_PTRACE and ProtectProc=default (docs/how-to/operate.md)";

struct search {
    const struct openers_roots *roots;
    const struct nodes *nodes;
    char *reason;
};

__attribute__((format(printf, 3, 4))) static enum openers
set_reason(const struct search *search, enum openers found, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(search->reason, REASON_BYTES, format, args);
    va_end(args);
    return found;
}

/* Reads the first line of a small file, without its newline. Returns 0 or -errno. */
static int read_line(const char *path, char *line, int bytes)
{
    FILE *file = fopen(path, "re");
    int r = 0;

    if (!file)
        return -errno;
    if (!fgets(line, bytes, file))
        r = ferror(file) ? -EIO : -ENODATA;
    else
        line[strcspn(line, "\n")] = '\0';
    (void)fclose(file);
    return r;
}

/* Returns true also if fdinfo cannot be read. */
static bool opened_for_writing(const char *process, const char *descriptor)
{
    char path[PATH_MAX + 32], line[128];
    unsigned flags;
    FILE *file;
    bool writes = true;

    (void)snprintf(path, sizeof(path), "%s/fdinfo/%.16s", process, descriptor);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "flags: %o", &flags) == 1)
            writes = (flags & O_ACCMODE) != O_RDONLY;
    if (file)
        (void)fclose(file);
    return writes;
}

/* Returns 1 for a descriptor of the device, 0 for any other, -errno without permission. */
static int is_of_device(const struct search *search, int folder, const char *name)
{
    struct statx status;

    /* DONT_SYNC: do not wait for a remote filesystem that does not respond. */
    if (statx(folder, name, AT_STATX_DONT_SYNC, STATX_TYPE, &status) < 0)
        return errno == EACCES || errno == EPERM ? -errno : 0; /* else closed by now */
    return nodes_have(search->nodes, status.stx_mode,
                      makedev(status.stx_rdev_major, status.stx_rdev_minor));
}

static enum openers check_process(const struct search *search, const char *number)
{
    char process[PATH_MAX], path[PATH_MAX], name[64];
    enum openers found = OPENERS_NONE;
    struct dirent *entry;
    DIR *folder;
    int error;

    (void)snprintf(process, sizeof(process), "%s/%s", search->roots->proc, number);
    if (snprintf(path, sizeof(path), "%s/fd", process) >= PATH_MAX)
        return OPENERS_NONE;
    folder = opendir(path);
    if (!folder && (errno == ENOENT || errno == ESRCH))
        return OPENERS_NONE; /* the process has exited */
    error = folder ? 0 : errno;
    while (folder && error == 0 && found == OPENERS_NONE && (entry = readdir(folder))) {
        int match = isdigit((unsigned char)entry->d_name[0])
                        ? is_of_device(search, dirfd(folder), entry->d_name)
                        : 0;

        if (match < 0)
            error = -match;
        if (match <= 0 || !opened_for_writing(process, entry->d_name))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s/comm", search->roots->proc, number);
        if (read_line(path, name, sizeof(name)) < 0)
            (void)strcpy(name, "?");
        found = set_reason(search, OPENERS_FOUND,
                           "process %s (%s) has it open for writing; stop it first", number, name);
    }
    if (error != 0)
        found = set_reason(search, OPENERS_UNSEEN,
                           "the open files of process %s cannot be read (%s); %s", number,
                           strerror(error), grant);
    if (folder)
        (void)closedir(folder);
    return found;
}

static enum openers check_processes(const struct search *search)
{
    char path[PATH_MAX], own[32];
    enum openers found = OPENERS_NONE;
    struct dirent *entry;
    struct stat status;
    ssize_t length;
    DIR *folder;

    (void)snprintf(path, sizeof(path), "%s/self/ns/pid", search->roots->proc);
    if (stat(path, &status) < 0 || status.st_ino != FIRST_PID_NAMESPACE)
        return set_reason(
            search, OPENERS_UNSEEN,
            "processes outside this PID namespace are hidden; run on the host, or in Kubernetes "
            "with hostPID: true");
    /* hidepid=, and so ProtectProc=, hides processes without permission to read them. Process 1
     * always exists, so it tells whether any are hidden. */
    (void)snprintf(path, sizeof(path), "%s/1", search->roots->proc);
    if (access(path, F_OK) < 0)
        return set_reason(search, OPENERS_UNSEEN, "processes of other users are hidden; %s", grant);
    /* In the procfs of another PID namespace this process has another number. */
    (void)snprintf(path, sizeof(path), "%s/self", search->roots->proc);
    length = readlink(path, own, sizeof(own) - 1);
    if (length > 0)
        own[length] = '\0';
    else
        (void)snprintf(own, sizeof(own), "%ld", (long)getpid());
    folder = opendir(search->roots->proc);
    if (!folder)
        return set_reason(search, OPENERS_UNSEEN, "%s cannot be read (%s)", search->roots->proc,
                          strerror(errno));
    while (found == OPENERS_NONE && (entry = readdir(folder)))
        if (isdigit((unsigned char)entry->d_name[0]) && strcmp(entry->d_name, own) != 0)
            found = check_process(search, entry->d_name);
    (void)closedir(folder);
    return found;
}

/* Checks whether the path in the sysfs or configfs file `attribute` is a node of the device. A path
 * that does not exist here, but begins with `where`, may be a node in another mount namespace. */
static enum openers check_path(const struct search *search, const char *attribute, const char *user,
                               const char *where)
{
    static const char removed[] = " (deleted)"; /* an unlinked file; nodes are not marked so */
    char path[PATH_MAX];

    /* Twice: if the file was removed after the first read, the second read shows it. */
    for (int tries = 0; tries < 2; tries++) {
        int r = read_line(attribute, path, sizeof(path));
        size_t length = r == 0 ? strlen(path) : 0;
        struct stat status;

        if (r == -ENOENT || r == -ENXIO || r == -ENODEV)
            return OPENERS_NONE; /* the loop device or namespace was removed */
        if (r < 0)
            return set_reason(search, OPENERS_UNSEEN, "%s cannot be read; run as root", attribute);
        if (length >= sizeof(removed) && strcmp(path + length + 1 - sizeof(removed), removed) == 0)
            return OPENERS_NONE;
        if (stat(path, &status) == 0)
            return nodes_have(search->nodes, status.st_mode, status.st_rdev)
                       ? set_reason(search, OPENERS_FOUND, "%s uses it; release the device first",
                                    user)
                       : OPENERS_NONE;
        if (strncmp(path, where, strlen(where)) != 0)
            return OPENERS_NONE;
    }
    return set_reason(search, OPENERS_UNSEEN,
                      "%s uses %s, which is not visible here; run on the host", user, path);
}

/* Calls check(search, path) for every entry of `parent` whose name begins with `prefix`. */
static enum openers for_each(const struct search *search, const char *parent, const char *prefix,
                             enum openers (*check)(const struct search *search, const char *path))
{
    enum openers found = OPENERS_NONE;
    DIR *folder = opendir(parent);
    struct dirent *entry;

    if (!folder)
        return errno == ENOENT
                   ? OPENERS_NONE
                   : set_reason(search, OPENERS_UNSEEN, "%s cannot be read (%s); run as root",
                                parent, strerror(errno));
    while (found == OPENERS_NONE && (entry = readdir(folder))) {
        char path[PATH_MAX];

        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name) < PATH_MAX)
            found = check(search, path);
    }
    (void)closedir(folder);
    return found;
}

static enum openers check_namespace(const struct search *search, const char *path)
{
    char attribute[PATH_MAX], enabled[8];

    if (snprintf(attribute, sizeof(attribute), "%s/enable", path) >= PATH_MAX ||
        (read_line(attribute, enabled, sizeof(enabled)) == 0 && strcmp(enabled, "0") == 0))
        return OPENERS_NONE;
    (void)snprintf(attribute, sizeof(attribute), "%.*s/device_path", PATH_MAX - 16, path);
    return check_path(search, attribute, "nvmet", "");
}

static enum openers check_subsystem(const struct search *search, const char *path)
{
    char namespaces[PATH_MAX];

    (void)snprintf(namespaces, sizeof(namespaces), "%.*s/namespaces", PATH_MAX - 16, path);
    return for_each(search, namespaces, "", check_namespace);
}

static bool kernel_has_configfs(const char *proc_root)
{
    char path[PATH_MAX], line[128];
    bool found = false;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/filesystems", proc_root);
    file = fopen(path, "re");
    if (!file)
        return true;
    while (fgets(line, sizeof(line), file))
        found |= strstr(line, "configfs") != NULL;
    (void)fclose(file);
    return found;
}

static enum openers check_nvmet(const struct search *search)
{
    char config[PATH_MAX], path[PATH_MAX];
    struct stat sysfs, configfs;

    if (!kernel_has_configfs(search->roots->proc))
        return OPENERS_NONE; /* nvmet needs configfs */
    (void)snprintf(config, sizeof(config), "%s/kernel/config", search->roots->sys);
    (void)snprintf(path, sizeof(path), "%s/kernel", search->roots->sys);
    if (stat(path, &sysfs) < 0 || stat(config, &configfs) < 0 || sysfs.st_dev == configfs.st_dev)
        return set_reason(
            search, OPENERS_UNSEEN,
            "configfs is not mounted, so exports of nvmet are hidden; run mount -t configfs none "
            "/sys/kernel/config");
    (void)snprintf(path, sizeof(path), "%.*s/nvmet/subsystems", PATH_MAX - 32, config);
    return for_each(search, path, "", check_subsystem);
}

static enum openers check_loop(const struct search *search, const char *path)
{
    char attribute[PATH_MAX];

    (void)snprintf(attribute, sizeof(attribute), "%.*s/loop/backing_file", PATH_MAX - 32, path);
    return check_path(search, attribute, strrchr(path, '/') + 1, "/dev/");
}

enum openers openers_find(const struct openers_roots *roots, const struct nodes *nodes,
                          char reason[static 512])
{
    const struct search search = {.roots = roots, .nodes = nodes, .reason = reason};
    enum openers found = check_processes(&search);
    char block[PATH_MAX];

    if (found == OPENERS_NONE)
        found = check_nvmet(&search);
    (void)snprintf(block, sizeof(block), "%s/block", roots->sys);
    if (found == OPENERS_NONE)
        found = for_each(&search, block, "loop", check_loop);
    return found;
}
