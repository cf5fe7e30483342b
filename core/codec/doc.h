// codec/doc: text (YAML or JSON) to trees, trees to messages, messages to text.
//
// Ceilings act on each parser event: depth, nodes, bytes and alias expansion are bounded while
// reading, so hostile input costs bounded memory and time.
#pragma once

#include "codec/message.h"

// ---- Trees ----

enum sld_node_type { SLD_NODE_NULL, SLD_NODE_SCALAR, SLD_NODE_SEQ, SLD_NODE_MAP };

struct sld_node;
struct sld_node_pair {
    struct sld_node *key; // always a scalar
    struct sld_node *value;
};

// One value of a document. Scalars keep their text; what it means is decided by the field it meets
// (so that a quoted "8080" fits a number, as proto3's JSON mapping has it).
struct sld_node {
    enum sld_node_type type;
    bool quoted;        // the scalar was quoted or had a !!str tag: never null, bool or number in Structs
    int line, column;   // from 1; 0 = unknown (JSON read fast)
    struct sld_str text;      // scalar
    struct sld_node **items;  // sequence
    struct sld_node_pair *pairs;   // mapping, in document order, keys distinct
    size_t count;             // items or pairs
};

struct sld_doc_limits {
    size_t max_bytes;  // of the text
    unsigned max_depth;
    size_t max_nodes;  // of all documents of the text together, aliases expanded
    size_t max_docs;
};
// 16 MiB, 64 levels, 2 million nodes, 100 thousand documents.
extern const struct sld_doc_limits sld_doc_limits_default;

// One document of a YAML stream (or the only one of a JSON text; a top-level JSON array or a
// Kubernetes List is not unpacked here).
struct sld_document {
    struct sld_node *root;    // NULL: an empty document
    struct sld_str text;      // the slice of the input the document was read from
    int line;                 // line of that slice in the input, from 1
};

// Reads all documents of TEXT. Text whose first non-blank byte is { or [ and which is valid JSON is
// read as JSON (fast; no positions), everything else as YAML. On failure a finding-ready error:
// ERR has line, column and message; CODE gets YAML_SYNTAX, DOC_LIMIT, DOC_ENCODING or
// DOC_DUPLICATE_KEY; the documents read before the error are still returned in *DOCS, *N.
// Merge keys (<<) are honoured; anchors and aliases too, within max_nodes.
SLD_NODISCARD enum sld_rc sld_doc_read(struct sld_arena *a, struct sld_str text,
                                       const struct sld_doc_limits *limits,
                                       struct sld_document **docs, size_t *n, enum sld_code *code,
                                       struct sld_err *err);

// The value of KEY in mapping NODE, or NULL (also when NODE is NULL or no mapping).
struct sld_node *sld_node_get(const struct sld_node *node, struct sld_str key);
// The text of a scalar, or an absent slice.
struct sld_str sld_node_text(const struct sld_node *node);
// A new, empty mapping / scalar in A, and adding to a mapping; for building input in code.
struct sld_node *sld_node_map(struct sld_arena *a);
struct sld_node *sld_node_scalar(struct sld_arena *a, struct sld_str text, bool quoted);
void sld_node_set(struct sld_arena *a, struct sld_node *map, struct sld_str key, struct sld_node *value);

// Line and column of PATH ("virtualHost.routes[1].matchers[0].regex") in TEXT, which is one document
// starting at line FIRST_LINE of its file; names match in camelCase or snake_case. The nearest
// existing ancestor is taken when the path itself is not there (a missing field). Also looks below a
// top-level "spec". False: nothing found (line and column are then FIRST_LINE and 1).
bool sld_doc_locate(struct sld_str text, int first_line, struct sld_str path, int *line, int *column);
// The same in a tree that was read already, without the look below "spec": LINE and COLUMN are those
// of the last step of PATH that is there and has a position, untouched when there is none. The number
// of steps that are there.
size_t sld_node_locate(const struct sld_node *root, struct sld_str path, int *line, int *column);

// ---- Messages ----

// Decodes NODE by DESC: proto3's JSON mapping as Gloo reads it (design section 3; gloo-compat 0.1).
// Every problem is a finding on R with the field path (unknown field with "did you mean", wrong
// type, unknown enum, both arms of a oneof, bad duration, out-of-range number, NUL in a string);
// decoding goes on behind it, so one run finds all. Returns the message (also when there were errors;
// look at R->errors). An unknown field is an error unless LENIENT, then a warning.
void *sld_doc_decode(struct sld_arena *a, const ProtobufCMessageDescriptor *desc,
                     const struct sld_node *node, bool lenient, struct sld_report *r);

enum sld_text_style { SLD_TEXT_YAML, SLD_TEXT_JSON, SLD_TEXT_JSON_COMPACT };

// Prints M in proto3's JSON mapping: camelCase, enum names, durations as "1.5s", defaults left out,
// maps sorted, Any expanded with "@type" when its type is known. REDACT prints sensitive values as
// "***" (as is every string inside a message in a field marked sensitive).
void sld_doc_print(struct sld_buf *out, const ProtobufCMessage *m, enum sld_text_style style,
                   bool redact);
// The same as a tree in A.
struct sld_node *sld_doc_tree(struct sld_arena *a, const ProtobufCMessage *m, bool redact);
// Prints a tree.
void sld_doc_print_node(struct sld_buf *out, const struct sld_node *node, enum sld_text_style style);

// ---- Writing JSON without a message (admin API, logs) ----

// A streaming JSON writer: commas and quoting are its business.
struct sld_json {
    struct sld_buf *out;
    unsigned depth;
    uint64_t first; // bit per level: nothing written yet
    bool after_key;
};
void sld_json_init(struct sld_json *j, struct sld_buf *out);
void sld_json_begin(struct sld_json *j, char bracket); // '{' or '['
void sld_json_end(struct sld_json *j, char bracket);   // '}' or ']'
void sld_json_key(struct sld_json *j, const char *key);
void sld_json_str(struct sld_json *j, struct sld_str v); // absent prints null
void sld_json_int(struct sld_json *j, int64_t v);
void sld_json_bool(struct sld_json *j, bool v);
void sld_json_null(struct sld_json *j);
// Ready-made JSON text as a value.
void sld_json_raw(struct sld_json *j, struct sld_str json);

// ---- Schema documents ----

// JSON Schema (draft 2020-12) of a message, definitions included; for editors and CRDs.
void sld_schema_print_json(struct sld_buf *out, const ProtobufCMessageDescriptor *desc);

// Gives back the memory that stands ready for the next texts to be read; how many bytes. [any]
size_t sld_doc_trim(void);
