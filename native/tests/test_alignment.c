#include "check.h"
#include "target/target.h"

/* Where the kernel does not tell the alignment: the block of the filesystem, which is at most a
 * page. Filesystems of the network give the size of a request instead. */
int main(void)
{
    static const struct {
        uint64_t file_block, page, alignment;
    } table[] = {
        {4096, 4096, 4096},    {512, 4096, 4096},       {0, 4096, 4096},
        {1048576, 4096, 4096}, {4096, 16384, 4096},     {16384, 16384, 16384},
        {65536, 16384, 16384}, {4096, 65536, 4096},     {16384, 65536, 16384},
        {65536, 65536, 65536}, {1048576, 65536, 65536}, {6000, 65536, 65536},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        CHECK(target_default_alignment(table[i].file_block, table[i].page) == table[i].alignment);
    return check_result();
}
