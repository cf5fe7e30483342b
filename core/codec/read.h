// Inside codec: what the readers of YAML and JSON share.
#pragma once

#include "codec/doc.h"

struct reader {
    struct sld_arena *a;
    const struct sld_doc_limits *limits;
    size_t nodes; // counted so far, aliases expanded
    enum sld_code *code;
    struct sld_err *err;
};

// Records a failure; false.
bool read_fail(struct reader *r, enum sld_code code, int line, int column, const char *what);
// A new node, counted; NULL when there are too many.
struct sld_node *read_node(struct reader *r, enum sld_node_type type, int line, int column);
// Counts N more nodes; false when there are too many.
bool read_count(struct reader *r, size_t n, int line, int column);
// Fails when a key stands twice in MAP.
bool read_distinct(struct reader *r, const struct sld_node *map);

// One JSON text into *ROOT. False with code YAML_SYNTAX when it is not JSON.
bool read_json(struct reader *r, struct sld_str text, struct sld_node **root);
// A YAML stream.
bool read_yaml(struct reader *r, struct sld_str text, struct sld_document **docs, size_t *n);

// yaml_memory.c: between these libyaml takes its memory, on this thread, from the pool; all of what it took is given back
// before. Pools are kept for the next text.
struct yaml_pool *yaml_pool_enter(void);
void yaml_pool_leave(struct yaml_pool *p);
// What libyaml has for malloc, free, realloc and strdup.
void *yaml_pool_malloc(size_t n);
void yaml_pool_free(void *p);
void *yaml_pool_realloc(void *p, size_t n);
char *yaml_pool_strdup(const char *s);
