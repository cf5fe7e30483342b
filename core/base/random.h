// Random numbers of the kernel: for jitter and names, good enough for keys.
#pragma once

#include <stdint.h>

// A number below N (> 0). [any]
uint64_t sld_random_below(uint64_t n);
