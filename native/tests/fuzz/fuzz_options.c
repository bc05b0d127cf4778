/* options_parse(): accepted options have one target and a span within 2^63-1, and are the same in
 * another order; a rejected command line has a fault. The input is the words, separated by NULs. */
#include "fuzz/fuzz.h"
#include "protocol/options.h"
#include "target/identity.h"

#define MAX_WORDS 32

static bool is_same_text(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

static bool is_same(const struct options *one, const struct options *other)
{
    return one->kind == other->kind && is_same_text(one->path, other->path) &&
           one->span_bytes == other->span_bytes && one->offset_bytes == other->offset_bytes &&
           one->max_transfer_bytes == other->max_transfer_bytes && one->nocow == other->nocow &&
           one->min_free_bytes == other->min_free_bytes && one->allow_write == other->allow_write &&
           one->trim == other->trim && one->drop_caches == other->drop_caches &&
           one->buffer == other->buffer && one->protocol == other->protocol &&
           is_same_text(one->counters, other->counters) &&
           is_same_text(one->expect_device, other->expect_device) &&
           is_same_text(one->proc, other->proc) && one->has_key == other->has_key &&
           one->erase == other->erase &&
           (!one->has_key || memcmp(&one->key, &other->key, sizeof(one->key)) == 0) &&
           one->has_diskseq == other->has_diskseq &&
           (!one->has_diskseq || one->expect_diskseq == other->expect_diskseq) &&
           one->help == other->help && one->version == other->version;
}

static void check_options(const struct options *options)
{
    HOLDS(options->kind == TARGET_SCRATCH || options->kind == TARGET_FILE ||
          options->kind == TARGET_DEVICE);
    HOLDS(options->path && options->path[0] != '\0');
    HOLDS(options->max_transfer_bytes >= 1 && options->max_transfer_bytes <= options->span_bytes);
    HOLDS(options->offset_bytes <= INT64_MAX &&
          options->span_bytes <= INT64_MAX - options->offset_bytes);
    HOLDS(options->drop_caches >= DROP_AUTO && options->drop_caches <= DROP_NEVER);
    HOLDS(options->proc && options->proc[0] != '\0');
    HOLDS(options->buffer >= BUFFER_CONSUMER && options->buffer <= BUFFER_HUGETLB);
    HOLDS(options->protocol == 1 || options->protocol == 2);
    HOLDS(!options->erase ||
          (options->kind == TARGET_DEVICE && options->has_key && options->allow_write));
    if (options->kind != TARGET_SCRATCH)
        HOLDS(!options->nocow && !options->trim && options->min_free_bytes == 0);
    else
        HOLDS(options->offset_bytes == 0);
    for (const char *list = options->expect_device; list && *list;) {
        dev_t one;

        HOLDS(identity_next(&list, &one));
    }
}

static bool is_flag(const char *word)
{
    static const char *const flags[] = {"--nocow", "--allow-write", "--trim", "--erase"};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (strcmp(word, flags[i]) == 0)
            return true;
    return false;
}

/* Checks that the order of options of one word each does not matter. */
static void check_reversed(int count, char *words[], const struct options *options)
{
    char *reversed[MAX_WORDS + 1] = {words[0]};
    struct options again;
    struct fault fault;

    for (int i = 1; i < count; i++) {
        if (!strchr(words[i], '=') && !is_flag(words[i]))
            return; /* the next word is its value */
        reversed[count - i] = words[i];
    }
    HOLDS(options_parse(count, reversed, &again, &fault) == 0);
    HOLDS(is_same(options, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *words[MAX_WORDS + 1] = {(char[]){"aio-sweep"}};
    struct options options, untouched;
    struct fault fault;
    int count = 1;

    for (size_t at = 0; at < size && count < MAX_WORDS;) {
        const uint8_t *nul = memchr(data + at, '\0', size - at);
        size_t length = nul ? (size_t)(nul - (data + at)) : size - at;
        char *word = malloc(length + 1);

        HOLDS(word);
        memcpy(word, data + at, length);
        word[length] = '\0';
        words[count++] = word;
        at += length + 1;
    }
    memset(&options, 0xa5, sizeof(options));
    untouched = options;
    if (options_parse(count, words, &options, &fault) < 0) {
        check_fault(&fault, FAULT_USAGE);
        HOLDS(memcmp(&options, &untouched, sizeof(options)) == 0);
    } else if (!options.help && !options.version) {
        check_options(&options);
        check_reversed(count, words, &options);
    }
    while (count > 1)
        free(words[--count]);
    return 0;
}
