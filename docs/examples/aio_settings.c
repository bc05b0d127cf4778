/* The [read] settings of the drive that a path is on:
   cc -o aio_settings aio_settings.c && ./aio_settings PATH [SYS [PROFILES]] */
#define _GNU_SOURCE
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct settings { long long block_size; int queue_depth, io_parallelism; bool overlap_events, single_submit; };

static bool boolean(const char *word, bool *to)
{
    *to = !strcmp(word, "true");
    return *to || !strcmp(word, "false");
}

/* False if the profile is another drive's, or its reads were skipped. */
static bool from_profile(const char *path, const char *wwid, struct settings *to)
{
    char text[1 << 16], device[300], overlap[6], single[6]; /* a profile has 4 KiB, and [read] comes early */
    int schema;
    FILE *file = fopen(path, "re");
    if (!file) return false;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    snprintf(device, sizeof device, "\n[device]\nid = \"%s\"\n", wwid);
    const char *read = strstr(text, "\n[read]\n");
    return read && sscanf(text, "#%*[^\n] schema = %d", &schema) == 1 && (schema == 1 || schema == 2) &&
           strstr(text, device) &&
           sscanf(read, " [read] block_size = %lld queue_depth = %d io_parallelism = %d"
                        " overlap_events = %5[a-z] single_submit = %5[a-z]",
                  &to->block_size, &to->queue_depth, &to->io_parallelism, overlap, single) == 5 &&
           boolean(overlap, &to->overlap_events) && boolean(single, &to->single_submit);
}

static struct settings settings(const char *path, const char *sys, const char *profiles)
{
    struct settings found, result = {1048576, 8, 1, true, false};
    char disk[2048], name[2100], wwid[256] = "";
    struct stat status;
    if (stat(path, &status)) return result;
    snprintf(disk, sizeof disk, "%s/dev/block/%u:%u", sys, major(status.st_dev), minor(status.st_dev));
    snprintf(name, sizeof name, "%s/partition", disk);
    bool partition = !access(name, F_OK); /* the kernel follows the link before the "..": the partition's disk */
    snprintf(name, sizeof name, "%s%s/wwid", disk, partition ? "/.." : "");
    FILE *file = fopen(name, "re");
    if (!file) return result;
    bool known = fscanf(file, "%255[^\n]", wwid) == 1;
    fclose(file);
    glob_t files = {0};
    snprintf(name, sizeof name, "%s/*.toml", profiles);
    if (known && !glob(name, 0, NULL, &files))
        for (size_t place = 0; place < files.gl_pathc; place++)
            if (from_profile(files.gl_pathv[place], wwid, &found)) {
                result = found;
                break;
            }
    globfree(&files);
    return result;
}

int main(int count, char **words)
{
    const char *sys = count > 2 ? words[2] : "/sys", *profiles = count > 3 ? words[3] : "/etc/aio-tuned";
    struct settings s = settings(count > 1 ? words[1] : ".", sys, profiles);
    printf("block_size=%lld\nqueue_depth=%d\nio_parallelism=%d\noverlap_events=%s\nsingle_submit=%s\n", s.block_size,
           s.queue_depth, s.io_parallelism, s.overlap_events ? "true" : "false", s.single_submit ? "true" : "false");
}
