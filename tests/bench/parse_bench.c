// The time it takes to parse a JSON text once, as the product does it:
//
//   parse_bench FILE     prints the least of 20 times, in milliseconds
#include <stdio.h>

#include "codec/doc.h"

enum { TIMES = 20, MAX_BYTES = 256 * 1024 * 1024 };

static bool read_all(const char *path, struct sld_buf *text)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    static char piece[1 << 16];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        sld_buf_add(text, sld_str_n(piece, n));
    bool ok = !ferror(f);
    fclose(f);
    return ok;
}

int main(int argc, char **argv)
{
    struct sld_buf text;
    sld_buf_init(&text, MAX_BYTES);
    if (argc != 2 || !read_all(argv[1], &text)) {
        fprintf(stderr, "usage: parse_bench FILE\n");
        return 2;
    }
    struct sld_doc_limits limits = {.max_bytes = MAX_BYTES, .max_depth = 64, .max_nodes = 100 * 1000 * 1000, .max_docs = 1};
    uint64_t least_ns = UINT64_MAX;
    for (int i = 0; i < TIMES; i++) {
        struct sld_arena a;
        sld_arena_init(&a);
        struct sld_document *docs;
        size_t n;
        enum sld_code code;
        struct sld_err err = {0};
        uint64_t start_ns = sld_mono_ns();
        if (sld_doc_read(&a, sld_buf_str(&text), &limits, &docs, &n, &code, &err) != SLD_OK) {
            fprintf(stderr, "parse_bench: %s is not JSON\n", argv[1]);
            return 1;
        }
        uint64_t took_ns = sld_mono_ns() - start_ns;
        least_ns = took_ns < least_ns ? took_ns : least_ns;
        sld_arena_fini(&a);
    }
    printf("%.3f\n", (double)least_ns / 1e6);
    sld_buf_fini(&text);
    return 0;
}
