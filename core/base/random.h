// Random numbers of the kernel: for jitter and names, good enough for keys.
#pragma once

#include <stddef.h>
#include <stdint.h>

// A number below N (> 0). [any]
uint64_t sld_random_below(uint64_t n);
// N, or up to a tenth less, so that what began together does not go on together. [any]
uint64_t sld_jitter(uint64_t n);
// The pause after so many FAILURES in a row: LEAST, doubled with each but the first up to MOST, and then up to a
// quarter less or more. [any]
uint64_t sld_backoff(unsigned failures, uint64_t least, uint64_t most);
// N random bytes to P, good enough for keys. [any]
void sld_random_bytes(void *p, size_t n);
