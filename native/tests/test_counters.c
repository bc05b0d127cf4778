#include "check.h"
#include "target/counters.h"
#include "target/sysblock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char root[] = "/tmp/aio-sweep-sys-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    file = fopen(path, "w");
    CHECK(file != NULL);
    if (!file)
        return;
    CHECK(fputs(text, file) >= 0);
    (void)fclose(file);
}

static void make(const char *name)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    CHECK(mkdir(path, 0755) == 0);
}

static void point(const char *name, const char *to)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    CHECK(symlink(to, path) == 0);
}

/* A disk 259:0 with a partition 259:1 and the symlinks of sysfs. */
static void build(void)
{
    CHECK(mkdtemp(root) != NULL);
    make("dev");
    make("dev/block");
    make("nvme0n1");
    make("nvme0n1/queue");
    make("nvme0n1/nvme0n1p1");
    put("nvme0n1/dev", "259:0\n");
    put("nvme0n1/stat", "   10  0  16  5  20  0  32  6  0  7  8  0 0 0 0 0 0\n");
    put("nvme0n1/queue/iostats", "1\n");
    put("nvme0n1/queue/logical_block_size", "4096\n");
    put("nvme0n1/nvme0n1p1/dev", "259:1\n");
    put("nvme0n1/nvme0n1p1/partition", "1\n");
    put("nvme0n1/nvme0n1p1/stat", "1 0 1 0 1 0 1 0 0 0 0\n");
    point("dev/block/259:0", "../../nvme0n1");
    point("dev/block/259:1", "../../nvme0n1/nvme0n1p1");
}

static void resolve(void)
{
    struct counters_reading reading;
    struct counters counters;
    char path[PATH_MAX], wanted[PATH_MAX];
    uint64_t number;

    CHECK(sysblock_is_partition(root, makedev(259, 0)) == 0);
    CHECK(sysblock_is_partition(root, makedev(259, 1)) == 1);
    CHECK(sysblock_is_partition(root, makedev(0, 37)) == -ENOENT);
    CHECK(sysblock_disk(root, makedev(0, 37), path) == -ENOENT);
    CHECK(sysblock_disk(root, makedev(259, 1), path) == 0);
    (void)snprintf(wanted, sizeof(wanted), "%s/dev/block/259:0", root);
    CHECK_TEXT(path, wanted);
    CHECK(sysblock_number(path, "queue/logical_block_size", &number) == 0 && number == 4096);
    CHECK(sysblock_number(path, "queue/none", &number) == -ENOENT);

    counters_open(&counters, root, NULL, makedev(259, 1));
    (void)strcat(wanted, "/stat");
    CHECK_TEXT(counters.path, wanted);
    CHECK(counters.live);
    CHECK(counters_read(&counters, &reading) == 0);
    CHECK(reading.read.bytes == 16 * 512 && reading.write.bytes == 32 * 512);
    CHECK(reading.read.ios == 10 && reading.write.ios == 20);
    counters_close(&counters);

    (void)snprintf(path, sizeof(path), "%s/nvme0n1/nvme0n1p1/stat", root);
    counters_open(&counters, "/nowhere", path, 0);
    CHECK(counters.live);
    counters_close(&counters);

    /* The counters of multipath paths are summed, and all must be live. */
    make("nvme0c1n1");
    put("nvme0c1n1/stat", "1 0 100 0 1 0 200 0 0 0 0\n");
    (void)snprintf(path, sizeof(path), "%s/nvme0n1/stat,%s/nvme0c1n1/stat", root, root);
    counters_open(&counters, "/nowhere", path, 0);
    CHECK(counters.live);
    CHECK(counters_read(&counters, &reading) == 0);
    CHECK(reading.read.bytes == 116 * 512 && reading.write.bytes == 232 * 512);
    CHECK(reading.read.ios == 11 && reading.write.ios == 21);
    counters_close(&counters);
    CHECK(counters_read(&counters, &reading) == -ENOENT);
    (void)snprintf(path, sizeof(path), "%s/nvme0n1/stat,%s/nvme0c2n1/stat", root, root);
    counters_open(&counters, "/nowhere", path, 0);
    CHECK(!counters.live);
    counters_close(&counters);
    (void)snprintf(path, sizeof(path), "%s/nvme0n1/nvme0n1p1/stat", root);

    counters_open(&counters, root, NULL, makedev(0, 37));
    CHECK(!counters.live && counters.path[0] == '\0');
    CHECK(counters_read(&counters, &reading) == -ENOENT);
    counters_close(&counters);

    put("nvme0n1/queue/iostats", "0\n");
    counters_open(&counters, root, NULL, makedev(259, 0));
    CHECK(!counters.live && counters.path[0] != '\0');
    counters_close(&counters);
    counters_open(&counters, "/nowhere", path, 0);
    CHECK(!counters.live);
    counters_close(&counters);

    put("nvme0n1/queue/iostats", "1\n");
    put("nvme0n1/stat", "");
    counters_open(&counters, root, NULL, makedev(259, 0));
    CHECK(!counters.live);
    counters_close(&counters);
    counters_open(&counters, root, "/nowhere/stat", makedev(259, 0));
    CHECK(!counters.live);
    counters_close(&counters);
}

static void parse(void)
{
    struct counters_reading reading, later, since;

    CHECK(counters_parse("1 2 3 4 5 6 7 8 9 10 11", &reading) == 0);
    CHECK(reading.read.bytes == 3 * 512 && reading.write.bytes == 7 * 512);
    CHECK(reading.read.ios == 1 && reading.read.merges == 2);
    CHECK(reading.write.ios == 5 && reading.write.merges == 6);
    CHECK(counters_parse("11 12 13 4 15 16 17 8 9 10 11", &later) == 0);
    since = counters_since(&later, &reading);
    CHECK(since.read.bytes == 10 * 512 && since.write.bytes == 10 * 512);
    CHECK(since.read.ios == 10 && since.read.merges == 10);
    CHECK(since.write.ios == 10 && since.write.merges == 10);
    CHECK(counters_parse("", &reading) < 0);
    CHECK(counters_parse("1 2 3", &reading) < 0);
    CHECK(counters_parse("garbage", &reading) < 0);
}

int main(void)
{
    char command[PATH_MAX];

    parse();
    build();
    resolve();
    (void)snprintf(command, sizeof(command), "rm -r '%s'", root);
    CHECK(system(command) == 0);
    return check_result();
}
