/* Runs a fuzz target on the files of a directory, then on mutations of them: fuzz_NAME DIRECTORY
 * COUNT. The mutations are the same in each run, so that a failure can be reproduced; its input is
 * printed in hex. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#define MAX_SEEDS     64
#define LONGEST_INPUT 4096
#define MAX_EDITS     4
#define MAX_REMOVED   16

struct input {
    size_t size;
    uint8_t bytes[LONGEST_INPUT];
};

static struct input seeds[MAX_SEEDS], current;
static size_t seed_count;
static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

/* xorshift64*, Marsaglia 2003 and Vigna 2016 */
static size_t below(size_t limit)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * UINT64_C(2685821657736338717)) >> 33) % limit;
}

static void print_input(int signal_number)
{
    char digits[3];

    for (size_t i = 0; i < current.size; i++) {
        (void)snprintf(digits, sizeof(digits), "%02x", current.bytes[i]);
        (void)!write(STDERR_FILENO, digits, 2);
    }
    (void)!write(STDERR_FILENO, "\n", 1);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void read_seeds(const char *folder)
{
    DIR *open = opendir(folder);
    struct dirent *entry;
    char path[4096];

    HOLDS(open);
    while ((entry = readdir(open))) {
        struct input *seed = &seeds[seed_count];
        FILE *file;

        if (entry->d_name[0] == '.')
            continue;
        HOLDS(seed_count < MAX_SEEDS);
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        file = fopen(path, "rb");
        HOLDS(file);
        seed->size = fread(seed->bytes, 1, sizeof(seed->bytes), file);
        (void)fclose(file);
        seed_count++;
    }
    (void)closedir(open);
    HOLDS(seed_count > 0);
}

/* Replaces `removed` bytes at `at` by the `added` bytes given. */
static void splice(size_t at, size_t removed, const uint8_t *bytes, size_t added)
{
    size_t tail = current.size - at - removed;

    if (current.size - removed + added > LONGEST_INPUT)
        return;
    memmove(current.bytes + at + added, current.bytes + at + removed, tail);
    if (added > 0)
        memcpy(current.bytes + at, bytes, added);
    current.size = at + added + tail;
}

static bool is_separator(uint8_t byte)
{
    return byte == ' ' || byte == '\0' || byte == '\n';
}

/* Returns the start of the word at `at`; *ret_end is its end. */
static size_t find_word(const struct input *input, size_t at, size_t *ret_end)
{
    size_t start = at, end = at;

    while (start > 0 && !is_separator(input->bytes[start - 1]))
        start--;
    while (end < input->size && !is_separator(input->bytes[end]))
        end++;
    *ret_end = end;
    return start;
}

/* Replaces a word by one of another seed, or inserts that before it. */
static void edit_word(const struct input *other, size_t at, size_t from)
{
    size_t end, other_end, start = find_word(&current, at, &end);
    size_t other_start = find_word(other, from, &other_end);

    if (below(4) > 0) {
        splice(start, end - start, other->bytes + other_start, other_end - other_start);
        return;
    }
    other_end += other_end < other->size; /* with the separator */
    splice(start, 0, other->bytes + other_start, other_end - other_start);
}

/* Increments or decrements the last digit of a number, or replaces the number by `word`. */
static void edit_number(size_t at, const char *word)
{
    size_t end;

    while (at < current.size && (current.bytes[at] < '0' || current.bytes[at] > '9'))
        at++;
    for (end = at; end < current.size && current.bytes[end] >= '0' && current.bytes[end] <= '9';)
        end++;
    if (end == at)
        return;
    if (below(2) == 0)
        splice(at, end - at, (const uint8_t *)word, strlen(word));
    else
        current.bytes[end - 1] = (uint8_t)(current.bytes[end - 1] + below(3) - 1);
}

static void edit(void)
{
    static const char *const words[] = {"0",
                                        "-1",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "18446744073709551616",
                                        "=",
                                        " ",
                                        ",",
                                        ":",
                                        "\n"};
    size_t at = below(current.size + 1), rest = current.size - at;
    size_t removed = below((rest < MAX_REMOVED ? rest : MAX_REMOVED) + 1);
    const struct input *other = &seeds[below(seed_count)];
    const char *word = words[below(sizeof(words) / sizeof(words[0]))];
    size_t from = below(other->size + 1);
    uint8_t byte = (uint8_t)below(256);

    switch (below(10)) {
    case 0:
        splice(at, rest > 0, &byte, 1);
        break;
    case 1:
        splice(at, 0, &byte, 1);
        break;
    case 2:
        splice(at, removed, NULL, 0);
        break;
    case 3:
        splice(at, removed, (const uint8_t *)word, strlen(word));
        break;
    case 4:
        splice(at, 0, other->bytes + from, below(other->size - from + 1));
        break;
    case 5:
        if (rest > 0)
            current.bytes[at] ^= (uint8_t)(1U << below(8));
        break;
    case 6:
    case 7: /* after these edits most inputs are still valid */
        edit_word(other, at, from);
        break;
    default:
        edit_number(at, word);
    }
}

int main(int argc, char *argv[])
{
    HOLDS(argc == 3);
    read_seeds(argv[1]);
    (void)signal(SIGABRT, print_input);
    for (size_t i = 0; i < seed_count; i++) {
        current = seeds[i];
        (void)LLVMFuzzerTestOneInput(current.bytes, current.size);
    }
    for (long times = strtol(argv[2], NULL, 10); times > 0; times--) {
        current = seeds[below(seed_count)];
        for (size_t edits = 1 + below(MAX_EDITS); edits > 0; edits--)
            edit();
        (void)LLVMFuzzerTestOneInput(current.bytes, current.size);
    }
    return 0;
}
