// Looks for bytes anywhere in the memory this process can write to: a secret that was let go is nowhere.
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

// Stacks and mappings above this are left out.
enum { MEMORY_MAPPING_MAX = 256 << 20, MEMORY_WINDOW = 1 << 16 };

static inline bool memory_range_has(int fd, uint64_t from, uint64_t to, struct sld_str what)
{
    static char window[MEMORY_WINDOW];
    bool found = false;
    for (uint64_t at = from; at < to && !found; at += MEMORY_WINDOW - what.n) {
        size_t n = to - at < MEMORY_WINDOW ? (size_t)(to - at) : MEMORY_WINDOW;
        ssize_t got = pread(fd, window, n, (off_t)at);
        if (got <= 0)
            break;
        found = sld_str_find((struct sld_str){window, (size_t)got}, what) >= 0;
    }
    memset(window, 0, sizeof(window));
    return found;
}

// WHAT itself must lie in memory that cannot be written to (a literal).
static inline bool memory_has(struct sld_str what)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[512], rights[5];
    bool found = false;
    assert_non_null(maps);
    assert_true(fd >= 0);
    while (!found && fgets(line, sizeof(line), maps)) {
        unsigned long long from, to;
        assert_int_equal(sscanf(line, "%llx-%llx %4s", &from, &to, rights), 3);
        if (rights[0] == 'r' && rights[1] == 'w' && !strstr(line, "[stack") && to - from < MEMORY_MAPPING_MAX)
            found = memory_range_has(fd, from, to, what);
    }
    fclose(maps);
    close(fd);
    return found;
}
