// Envoy's words about a resource made of secrets may quote them: whatever is the text of a secret is hidden.
#include "translate/inside.h"

#include <stdlib.h>

#include "codec/doc.h"

enum { TAIL_MIN = 4 }; // so much of a secret where the words were cut shows something of it

struct texts {
    struct sld_arena *arena;
    struct sld_str *items;
    size_t count;
};

// TEXT as Envoy may print it: with escapes as in C.
static struct sld_str escaped(struct sld_arena *a, struct sld_str text)
{
    struct sld_buf b;
    sld_buf_init(&b, 4 * text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\'' || c == '\\')
            sld_buf_addf(&b, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            sld_buf_addf(&b, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < ' ' || c >= 0x7f)
            sld_buf_addf(&b, "\\%03o", c);
        else
            sld_buf_addc(&b, (char)c);
    }
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    if (b.n)
        sld_wipe(b.p, b.n);
    sld_buf_fini(&b);
    return out;
}

static void text_add(struct texts *t, struct sld_str text)
{
    if (text.n)
        SLD_PUSH(t->arena, t->items, t->count, text);
}

static const struct sld_node *child(const struct sld_node *n, size_t i)
{
    return n->pairs ? n->pairs[i].value : n->items[i];
}

// The texts that SHOWN hides: it is PLAIN with sensitive values as "***"; NULL: it hides them all.
static void hidden_add(struct texts *t, const struct sld_node *plain, const struct sld_node *shown)
{
    bool alike = shown && shown->type == plain->type && shown->count == plain->count;
    for (size_t i = 0; i < plain->count; i++)
        hidden_add(t, child(plain, i), alike ? child(shown, i) : NULL);
    struct sld_str text = sld_node_text(plain), line;
    if (plain->count || !text.p || (shown && sld_str_eq(text, sld_node_text(shown))))
        return;
    text_add(t, text);
    struct sld_str other = escaped(t->arena, text);
    if (!sld_str_eq(other, text))
        text_add(t, other);
    // Envoy may quote a line of it.
    if (sld_str_index(text, '\n') >= 0) {
        while (text.n) {
            sld_str_cut(&text, '\n', &line);
            text_add(t, line);
        }
    }
}

static void table_add(struct texts *t, const struct sld_table *table)
{
    size_t at = 0;
    sld_id key;
    for (const void *row; sld_flow_next(table, &at, &key, &row);) {
        const struct sld_object *o = row;
        const ProtobufCMessage *m = o->ok ? sld_object_msg(o) : NULL;
        if (m)
            hidden_add(t, sld_doc_tree(t->arena, m, false), sld_doc_tree(t->arena, m, true));
    }
}

static int longest_first(const void *a, const void *b)
{
    const struct sld_str *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : sld_str_cmp(*x, *y);
}

// WORDS with *** for each TEXT.
static struct sld_str without(struct sld_arena *a, struct sld_str words, struct sld_str text)
{
    ptrdiff_t at = sld_str_find(words, text);
    if (at < 0)
        return words;
    struct sld_buf b;
    sld_buf_init(&b, 4 * words.n + 4);
    for (; at >= 0; at = sld_str_find(words, text)) {
        sld_buf_add(&b, sld_str_sub(words, 0, (size_t)at));
        sld_buf_add(&b, SLD_STR("***"));
        words = sld_str_sub(words, (size_t)at + text.n, words.n);
    }
    sld_buf_add(&b, words);
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

// WORDS without an end that is the beginning of TEXT: they were cut there.
static struct sld_str without_tail(struct sld_arena *a, struct sld_str words, struct sld_str text)
{
    const struct sld_str mark = SLD_STR("...(truncated)");
    struct sld_str body = words;
    if (sld_str_ends(body, mark))
        body.n -= mark.n;
    size_t most = text.n - 1 < body.n ? text.n - 1 : body.n;
    for (size_t n = most; n >= TAIL_MIN; n--) {
        if (sld_str_eq(sld_str_sub(body, body.n - n, body.n), sld_str_sub(text, 0, n)))
            return SLD_ARENA_JOIN(a, sld_str_sub(body, 0, body.n - n), SLD_STR("***"));
    }
    return words;
}

struct sld_str tr_redact(const struct sld_translate *t, struct sld_arena *a, struct sld_str words)
{
    struct sld_arena secret = {0};
    struct texts texts = {.arena = &secret};
    table_add(&texts, t->raw[SLD_KIND_SECRET]);
    table_add(&texts, t->accepted[SLD_KIND_SECRET]);
    table_add(&texts, t->obj[SLD_KIND_SECRET]);
    if (texts.count)
        qsort(texts.items, texts.count, sizeof(*texts.items), longest_first);
    for (size_t i = 0; i < texts.count; i++)
        words = without(&secret, words, texts.items[i]);
    for (size_t i = 0; i < texts.count; i++)
        words = without_tail(&secret, words, texts.items[i]);
    words = sld_arena_str(a, words);
    sld_arena_fini_secret(&secret);
    return words;
}
