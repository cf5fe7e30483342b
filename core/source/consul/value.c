// Statuses within values: found in the text, without reading all of it, and exchanged there.
//
// What is cut out of a text is a guess by its lines. Where the guess is not safe, and before
// anything is written, both texts are read and have to say the same but for statuses.
#include "source/consul/value.h"

#include "codec/scan.h"

#define REPORTER SLD_STR("gloo") // who reports, as those look for it who read Gloo's statuses
#define STATUSES SLD_STR("statuses")

enum { TEXT_MAX_BYTES = 4 * 1024 * 1024 };

static const struct sld_str fields[] = {SLD_STR_INIT("namespacedStatuses"),
                                        SLD_STR_INIT("namespaced_statuses"),
                                        SLD_STR_INIT("status")};
enum { FIELDS = 3, STATUS = 2 };

// Where statuses stand in a text.
struct layout {
    bool json;
    bool safe; // the spans are what they seem
    struct {
        size_t from, to; // of YAML the lines, of JSON the value; equal: it is not there
    } at[FIELDS];
    struct sld_hash content; // of JSON, of everything else
};

static int field_of(struct sld_str key)
{
    for (int i = 0; i < FIELDS; i++) {
        if (sld_str_eq(fields[i], key))
            return i;
    }
    return -1;
}

// ---- JSON ----

static struct sld_str between(const char *from, const char *to)
{
    return sld_str_trim(sld_str_n(from, (size_t)(to - from)));
}

// False when TEXT is no JSON object.
static bool json_layout(struct sld_str text, struct layout *l)
{
    struct sld_arena a = {0};
    struct sld_scan s;
    struct sld_str key;
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_scan_init(&s, text, &a);
    *l = (struct layout){.json = true, .safe = true};
    sld_scan_object(&s);
    while (sld_scan_member(&s, &key)) {
        const char *from = s.p;
        sld_scan_skip(&s);
        struct sld_str value = between(from, s.p);
        int f = field_of(key);
        if (f >= 0) {
            l->at[f].from = (size_t)(value.p - text.p);
            l->at[f].to = l->at[f].from + value.n;
            continue;
        }
        sld_hasher_add(&h, key);
        sld_hasher_add(&h, value);
    }
    bool yes = sld_scan_end(&s);
    l->content = sld_hasher_done(&h);
    sld_arena_fini(&a);
    return yes;
}

// ---- YAML ----

static struct sld_str line_at(struct sld_str s, size_t at)
{
    struct sld_str rest = sld_str_sub(s, at, s.n);
    ptrdiff_t end = sld_str_index(rest, '\n');
    return end < 0 ? rest : sld_str_sub(rest, 0, (size_t)end + 1);
}

// The field that a line at the left edge begins, or -1.
static int field_at(struct sld_str line)
{
    ptrdiff_t colon = sld_str_index(line, ':');
    if (colon < 1 || ((size_t)colon + 1 < line.n && line.p[colon + 1] != ' ' &&
                      line.p[colon + 1] != '\n' && line.p[colon + 1] != '\r'))
        return -1;
    struct sld_str key = sld_str_trim(sld_str_sub(line, 0, (size_t)colon));
    if (key.n > 1 && (key.p[0] == '"' || key.p[0] == '\'') && key.p[key.n - 1] == key.p[0])
        key = sld_str_sub(key, 1, key.n - 2);
    return field_of(key);
}

// Whether nothing that goes over lines is open at the end of S, as far as counting can tell.
static bool is_closed(struct sld_str s)
{
    size_t quotes = 0, apostrophes = 0;
    long braces = 0, brackets = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        quotes += c == '"';
        apostrophes += c == '\'';
        braces += (c == '{') - (c == '}');
        brackets += (c == '[') - (c == ']');
    }
    return quotes % 2 == 0 && apostrophes % 2 == 0 && braces == 0 && brackets == 0;
}

static void yaml_layout(struct sld_str text, struct layout *l)
{
    int in = -1; // the field whose lines these are
    *l = (struct layout){.safe = true};
    for (size_t at = 0; at < text.n;) {
        struct sld_str line = line_at(text, at);
        size_t end = at + line.n;
        bool blank = !sld_str_trim(line).n || line.p[0] == '#';
        bool edge = !blank && line.p[0] != ' ' && line.p[0] != '\t' && line.p[0] != '-';
        if (edge)
            in = field_at(line);
        if (edge && in >= 0) {
            l->safe &= l->at[in].from == l->at[in].to && is_closed(sld_str_sub(text, 0, at));
            l->at[in].from = at;
        }
        if (in >= 0 && !blank)
            l->at[in].to = end;
        at = end;
    }
    for (int i = 0; i < FIELDS; i++) {
        struct sld_str block = sld_str_sub(text, l->at[i].from, l->at[i].to - l->at[i].from);
        l->safe &= is_closed(block) && sld_str_find(block, SLD_STR(" &")) < 0;
    }
}

// TEXT without the lines of statuses, in A.
static struct sld_str without(struct sld_arena *a, struct sld_str text, const struct layout *l)
{
    char *out = sld_arena_alloc(a, text.n + 1);
    size_t n = 0;
    for (size_t at = 0; at < text.n;) {
        size_t end = text.n;
        bool skipped = false;
        for (int i = 0; i < FIELDS; i++) {
            if (l->at[i].to > l->at[i].from && l->at[i].from == at) {
                at = l->at[i].to;
                skipped = true;
            } else if (l->at[i].to > l->at[i].from && l->at[i].from > at && l->at[i].from < end) {
                end = l->at[i].from;
            }
        }
        if (skipped)
            continue;
        memcpy(out + n, text.p + at, end - at);
        n += end - at;
        at = end;
    }
    return sld_str_n(out, n);
}

// ---- Trees ----

// The tree of TEXT, which has to be one mapping; else NULL.
static struct sld_node *read_tree(struct sld_arena *a, struct sld_str text)
{
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    if (sld_doc_read(a, text, &sld_doc_limits_default, &docs, &n, &code, NULL) || n != 1 ||
        !docs[0].root || docs[0].root->type != SLD_NODE_MAP)
        return NULL;
    return docs[0].root;
}

// Whether TEXT without quotes would be something else than a string.
static bool needs_quotes(struct sld_str text)
{
    static const char *const words[] = {"~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    if (!text.n || strchr("0123456789+-.", text.p[0]))
        return true;
    for (size_t i = 0; i < SLD_ARRAY_LEN(words); i++) {
        if (sld_str_ieq(text, sld_str_c(words[i])))
            return true;
    }
    return false;
}

static void add_node(struct sld_hasher *h, const struct sld_node *n)
{
    sld_hasher_add_u64(h, (uint64_t)n->type << 32 | n->count);
    if (n->type == SLD_NODE_SCALAR) {
        sld_hasher_add_u64(h, n->quoted && needs_quotes(n->text));
        sld_hasher_add(h, n->text);
    }
    for (size_t i = 0; i < n->count; i++) {
        if (n->type == SLD_NODE_MAP)
            sld_hasher_add(h, n->pairs[i].key->text);
        add_node(h, n->type == SLD_NODE_MAP ? n->pairs[i].value : n->items[i]);
    }
}

// The hash of all that TREE says but for statuses, however it is written.
static struct sld_hash tree_hash(const struct sld_node *tree)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    for (size_t i = 0; i < tree->count; i++) {
        if (field_of(tree->pairs[i].key->text) >= 0)
            continue;
        sld_hasher_add(&h, tree->pairs[i].key->text);
        add_node(&h, tree->pairs[i].value);
    }
    return sld_hasher_done(&h);
}

static bool same_content(const struct sld_node *a, const struct sld_node *b)
{
    return sld_hash_eq(tree_hash(a), tree_hash(b));
}

// The field of TREE that statuses are in, or would be.
static int home_of(const struct sld_node *tree)
{
    for (int i = 0; i < STATUS; i++) {
        if (sld_node_get(tree, fields[i]))
            return i;
    }
    return sld_node_get(tree, SLD_STR("apiVersion")) || sld_node_get(tree, SLD_STR("spec")) ? STATUS
                                                                                            : 0;
}

// ---- Statuses ----

static struct sld_hash hash_of(struct sld_str state, struct sld_str reason, struct sld_str reporter)
{
    const struct sld_str parts[] = {state, reason, reporter};
    struct sld_hasher h;
    sld_hasher_init(&h);
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++)
        sld_hasher_add(&h, parts[i].p ? parts[i] : SLD_STR(""));
    return sld_hasher_done(&h);
}

struct sld_hash consul_status_hash(const struct sld_status *s)
{
    return hash_of(sld_str_c(sld_status_state_name(s->state)), s->reason, REPORTER);
}

// By name or, as Gloo wrote it at times, by number.
static struct sld_str state_of(struct sld_str text)
{
    uint64_t n;
    if (sld_str_u64(text, &n) && n <= SLD_STATUS_WARNING)
        return sld_str_c(sld_status_state_name((enum sld_status_state)n));
    return text.n ? text : sld_str_c(sld_status_state_name(SLD_PENDING));
}

// The hash of NS's status in FIELD, a tree as of namespacedStatuses.
static struct sld_hash status_in(const struct sld_node *field, struct sld_str ns)
{
    const struct sld_node *one = sld_node_get(sld_node_get(field, STATUSES), ns);
    if (!one || one->type != SLD_NODE_MAP)
        return (struct sld_hash){0};
    struct sld_str by = sld_node_text(sld_node_get(one, SLD_STR("reportedBy")));
    return hash_of(state_of(sld_node_text(sld_node_get(one, SLD_STR("state")))),
                   sld_node_text(sld_node_get(one, SLD_STR("reason"))),
                   by.p ? by : sld_node_text(sld_node_get(one, SLD_STR("reported_by"))));
}

static struct sld_node *status_node(struct sld_arena *a, const struct sld_status *s)
{
    struct sld_node *n = sld_node_map(a);
    if (s->reason.n)
        sld_node_set(a, n, SLD_STR("reason"), sld_node_scalar(a, s->reason, true));
    sld_node_set(a, n, SLD_STR("reportedBy"), sld_node_scalar(a, REPORTER, true));
    sld_node_set(a, n, SLD_STR("state"),
                 sld_node_scalar(a, sld_str_c(sld_status_state_name(s->state)), true));
    return n;
}

// A copy of MAP (NULL or no mapping: an empty one) with VALUE as KEY.
static struct sld_node *with(struct sld_arena *a, const struct sld_node *map, struct sld_str key,
                             struct sld_node *value)
{
    struct sld_node *out = sld_node_map(a);
    bool done = false;
    for (size_t i = 0; map && map->type == SLD_NODE_MAP && i < map->count; i++) {
        bool it = sld_str_eq(map->pairs[i].key->text, key);
        sld_node_set(a, out, map->pairs[i].key->text, it ? value : map->pairs[i].value);
        done |= it;
    }
    if (!done)
        sld_node_set(a, out, key, value);
    return out;
}

// ---- Reading ----

static struct sld_str cut(struct sld_str text, const struct layout *l, int field)
{
    return sld_str_sub(text, l->at[field].from, l->at[field].to - l->at[field].from);
}

static struct sld_str trim_end(struct sld_str s)
{
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

// The hash of TEXT without what L has found.
static struct sld_hash content_hash(struct sld_str text, const struct layout *l)
{
    struct sld_arena a = {0};
    struct sld_hash h = sld_hash_bytes(trim_end(without(&a, text, l)));
    sld_arena_fini_secret(&a);
    return h;
}

// Whether TEXT says the same without what L has found, but for statuses.
static bool cut_is_right(struct sld_str text, const struct layout *l)
{
    struct sld_arena a = {0};
    const struct sld_node *whole = read_tree(&a, text), *rest = read_tree(&a, without(&a, text, l));
    bool right = whole && rest && same_content(whole, rest);
    sld_arena_fini_secret(&a);
    return right;
}

static bool has_status(const struct layout *l)
{
    bool any = false;
    for (int i = 0; i < FIELDS; i++)
        any |= l->at[i].to > l->at[i].from;
    return any;
}

static struct sld_hash read_status(struct sld_str text, const struct layout *l, struct sld_str ns)
{
    struct sld_hash h = {0};
    for (int i = 0; i < FIELDS && sld_hash_zero(h); i++) {
        struct sld_str part = cut(text, l, i);
        struct sld_arena a = {0};
        const struct sld_node *tree = part.n ? read_tree(&a, part) : NULL;
        if (tree)
            h = status_in(l->json ? tree : sld_node_get(tree, fields[i]), ns);
        sld_arena_fini(&a);
    }
    return h;
}

void consul_value_read(struct sld_str value, struct sld_str ns, struct consul_value *out)
{
    struct layout l;
    struct sld_str start = sld_str_trim(value);
    *out = (struct consul_value){0};
    if (!start.n || start.p[0] != '{' || !json_layout(value, &l))
        yaml_layout(value, &l);
    if (l.json)
        out->content = l.content;
    else if (!has_status(&l))
        out->content = sld_hash_bytes(trim_end(value));
    else if (l.safe || cut_is_right(value, &l))
        out->content = content_hash(value, &l);
    else
        out->content = sld_hash_bytes(value);
    out->any = has_status(&l);
    if (out->any)
        out->status = read_status(value, &l, ns);
}

// ---- Writing ----

static struct sld_str print(struct sld_arena *a, const struct sld_node *n, enum sld_text_style style)
{
    struct sld_buf b;
    sld_buf_init_secret(&b, TEXT_MAX_BYTES);
    sld_doc_print_node(&b, n, style);
    struct sld_str out = b.full ? SLD_STR_NONE : sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

static struct sld_str splice(struct sld_arena *a, struct sld_str text, size_t from, size_t to,
                             struct sld_str part)
{
    return SLD_ARENA_JOIN(a, sld_str_sub(text, 0, from), part, sld_str_sub(text, to, text.n));
}

// TEXT with NODE as field FIELD, otherwise as it is.
static struct sld_str exchange(struct sld_arena *a, struct sld_str text, const struct layout *l,
                               int field, const struct sld_node *node)
{
    bool there = l->at[field].to > l->at[field].from;
    if (!l->json) {
        struct sld_node *alone = sld_node_map(a);
        sld_node_set(a, alone, fields[field], (struct sld_node *)(uintptr_t)node);
        struct sld_str part = print(a, alone, SLD_TEXT_YAML);
        bool open = text.n && text.p[text.n - 1] != '\n';
        if (!there)
            return SLD_ARENA_JOIN(a, text, open ? SLD_STR("\n") : SLD_STR(""), part);
        return splice(a, text, l->at[field].from, l->at[field].to, part);
    }
    struct sld_str part = print(a, node, SLD_TEXT_JSON_COMPACT);
    if (there)
        return splice(a, text, l->at[field].from, l->at[field].to, part);
    size_t end = sld_str_trim(text).n + (size_t)(sld_str_trim(text).p - text.p) - 1; // of the brace
    struct sld_str head = trim_end(sld_str_sub(text, 0, end));
    part = sld_arena_fmt(a, "%s\"%.*s\":%.*s", sld_str_ends(head, SLD_STR("{")) ? "" : ",",
                         SLD_FMT(fields[field]), SLD_FMT(part));
    return splice(a, text, head.n, head.n, part);
}

// Whether TEXT says what TREE says, with STATUS as that of NS.
static bool is_right(struct sld_str text, const struct sld_node *tree, int field, struct sld_str ns,
                     const struct sld_status *status, size_t statuses)
{
    struct sld_arena a = {0};
    const struct sld_node *is = text.p ? read_tree(&a, text) : NULL;
    const struct sld_node *all = is ? sld_node_get(sld_node_get(is, fields[field]), STATUSES) : NULL;
    bool right = all && all->count == statuses && same_content(is, tree) &&
                 sld_hash_eq(status_in(sld_node_get(is, fields[field]), ns), consul_status_hash(status));
    sld_arena_fini_secret(&a);
    return right;
}

enum sld_rc consul_value_write(struct sld_arena *a, struct sld_str value, struct sld_str ns,
                               const struct sld_status *status, struct sld_str *out,
                               struct sld_err *err)
{
    struct layout l;
    struct sld_node *tree = read_tree(a, value);
    if (!tree)
        return sld_err_set(err, SLD_INVALID, "the value is not one document, so it gets no status");
    if (sld_str_trim(value).p[0] != '{' || !json_layout(value, &l))
        yaml_layout(value, &l);
    int field = home_of(tree);
    const struct sld_node *old = sld_node_get(tree, fields[field]);
    struct sld_node *all = with(a, sld_node_get(old, STATUSES), ns, status_node(a, status));
    struct sld_node *node = with(a, old, STATUSES, all);
    *out = exchange(a, value, &l, field, node);
    if (is_right(*out, tree, field, ns, status, all->count))
        return SLD_OK;
    *out = print(a, with(a, tree, fields[field], node), l.json ? SLD_TEXT_JSON : SLD_TEXT_YAML);
    if (is_right(*out, tree, field, ns, status, all->count))
        return SLD_OK;
    return sld_err_set(err, SLD_INVALID, "the value cannot be written again without a change");
}
