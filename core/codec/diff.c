// What differs between two messages, field by field.
#include <stdlib.h>

#include "codec/path.h"
#include "codec/tree.h"
#include "codec/walk.h"

struct diff {
    struct sld_arena *a;
    struct sld_change *items;
    size_t n;
};

static void diff_messages(struct diff *d, const struct path *at, const ProtobufCMessage *x,
                          const ProtobufCMessage *y);

static struct sld_str text_of(struct diff *d, const struct sld_node *n)
{
    struct sld_buf out;
    sld_buf_init(&out, 1 << 24);
    sld_doc_print_node(&out, n, SLD_TEXT_JSON_COMPACT);
    struct sld_str s = sld_arena_str(d->a, sld_buf_str(&out));
    sld_buf_fini(&out);
    return s;
}

static void add(struct diff *d, const struct path *at, struct sld_str before, struct sld_str after)
{
    struct sld_buf path;
    sld_buf_init(&path, 4096);
    path_print(&path, at);
    struct sld_change c = {sld_arena_str(d->a, sld_buf_str(&path)), before, after};
    sld_buf_fini(&path);
    SLD_PUSH(d->a, d->items, d->n, c);
}

// Compares whole fields by their text; what is shown is redacted.
static void diff_whole(struct diff *d, const struct path *at, const ProtobufCMessage *x,
                       const ProtobufCMessage *y, unsigned i, bool in_x, bool in_y)
{
    struct sld_str before = in_x ? text_of(d, tree_field(d->a, x, i, false)) : SLD_STR_NONE;
    struct sld_str after = in_y ? text_of(d, tree_field(d->a, y, i, false)) : SLD_STR_NONE;
    if (in_x && in_y && sld_str_eq(before, after))
        return;
    add(d, at, in_x ? text_of(d, tree_field(d->a, x, i, true)) : before,
        in_y ? text_of(d, tree_field(d->a, y, i, true)) : after);
}

// A message whose fields are compared one by one.
static const ProtobufCMessage *open_message(const ProtobufCFieldDescriptor *f, const void *p)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || !walk_msg(p))
        return NULL;
    return sld_msg_info(walk_msg(p)->descriptor)->wkt == SLD_WKT_NONE ? walk_msg(p) : NULL;
}

// Compares element I of X with element K of Y; -1 = not there.
static void diff_item(struct diff *d, const struct path *at, const ProtobufCMessage *x,
                      const ProtobufCMessage *y, unsigned field, long i, long k)
{
    const ProtobufCFieldDescriptor *f = &x->descriptor->fields[field];
    bool map = walk_is_map(sld_msg_info(x->descriptor), field);
    if (i >= 0 && k >= 0) {
        const void *p = walk_item(x, f, (size_t)i), *q = walk_item(y, f, (size_t)k);
        if (map) {
            const ProtobufCMessage *ex = walk_msg(p), *ey = walk_msg(q);
            f = &ex->descriptor->fields[1];
            p = walk_at(ex, f);
            q = walk_at(ey, f);
        }
        if (open_message(f, p) && open_message(f, q)) {
            diff_messages(d, at, walk_msg(p), walk_msg(q));
            return;
        }
    }
    struct sld_str before = SLD_STR_NONE, after = SLD_STR_NONE;
    if (i >= 0)
        before = text_of(d, tree_item(d->a, x, field, (size_t)i, false));
    if (k >= 0)
        after = text_of(d, tree_item(d->a, y, field, (size_t)k, false));
    if (i >= 0 && k >= 0 && sld_str_eq(before, after))
        return;
    add(d, at, i >= 0 ? text_of(d, tree_item(d->a, x, field, (size_t)i, true)) : before,
        k >= 0 ? text_of(d, tree_item(d->a, y, field, (size_t)k, true)) : after);
}

struct place {
    const ProtobufCMessage *entry;
    long at;
};

static int place_cmp(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return walk_entry_cmp(x->entry, y->entry);
}

static struct place *sorted(struct diff *d, const ProtobufCMessage *m,
                            const ProtobufCFieldDescriptor *f, size_t n)
{
    struct place *p = SLD_ARENA_ARRAY(d->a, struct place, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (struct place){walk_msg(walk_item(m, f, i)), (long)i};
    qsort(p, n, sizeof(*p), place_cmp);
    return p;
}

static void diff_map(struct diff *d, const struct path *at, const ProtobufCMessage *x,
                     const ProtobufCMessage *y, unsigned field)
{
    const ProtobufCFieldDescriptor *f = &x->descriptor->fields[field];
    size_t nx = walk_count(x, f), ny = walk_count(y, f), i = 0, k = 0;
    const struct place *px = sorted(d, x, f, nx), *py = sorted(d, y, f, ny);
    while (i < nx || k < ny) {
        int c = i == nx ? 1 : k == ny ? -1 : place_cmp(&px[i], &py[k]);
        struct path here = {at, tree_key(d->a, c <= 0 ? px[i].entry : py[k].entry), -1, true};
        diff_item(d, &here, x, y, field, c <= 0 ? px[i].at : -1, c >= 0 ? py[k].at : -1);
        i += c <= 0;
        k += c >= 0;
    }
}

static void diff_list(struct diff *d, const struct path *at, const ProtobufCMessage *x,
                      const ProtobufCMessage *y, unsigned field)
{
    const ProtobufCFieldDescriptor *f = &x->descriptor->fields[field];
    size_t nx = walk_count(x, f), ny = walk_count(y, f);
    for (size_t i = 0; i < nx || i < ny; i++) {
        struct path here = {at, SLD_STR_NONE, (long)i, false};
        diff_item(d, &here, x, y, field, i < nx ? (long)i : -1, i < ny ? (long)i : -1);
    }
}

static void diff_messages(struct diff *d, const struct path *at, const ProtobufCMessage *x,
                          const ProtobufCMessage *y)
{
    const struct sld_msg_info *info = sld_msg_info(x->descriptor);
    for (unsigned i = 0; i < x->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &x->descriptor->fields[i];
        bool in_x = walk_set(x, f), in_y = walk_set(y, f);
        struct path here = {at, sld_str_c(info->fields[i].json_name), -1, false};
        if (!in_x && !in_y)
            continue;
        if (info->fields[i].sensitive)
            diff_whole(d, &here, x, y, i, in_x, in_y);
        else if (walk_repeated(f) && info->fields[i].is_map)
            diff_map(d, &here, x, y, i);
        else if (walk_repeated(f))
            diff_list(d, &here, x, y, i);
        else if (in_x && in_y && open_message(f, walk_at(x, f)))
            diff_messages(d, &here, walk_msg(walk_at(x, f)), walk_msg(walk_at(y, f)));
        else
            diff_whole(d, &here, x, y, i, in_x, in_y);
    }
}

struct sld_change *sld_msg_diff(struct sld_arena *a, const ProtobufCMessage *x,
                                const ProtobufCMessage *y, size_t *n)
{
    struct diff d = {.a = a};
    SLD_PRE(!x || !y || x->descriptor == y->descriptor);
    *n = 0;
    if (x == y)
        return NULL;
    if (!x)
        x = sld_msg_new(a, y->descriptor);
    if (!y)
        y = sld_msg_new(a, x->descriptor);
    diff_messages(&d, NULL, x, y);
    *n = d.n;
    return d.items;
}
