// Responses on the wire: header bytes written here, resources' bytes referenced, never copied.
#include "xds/stream.h"

#include <stdio.h>

void sld_xds_message_init(struct sld_xds_message *m)
{
    *m = (struct sld_xds_message){0};
    sld_buf_init(&m->head, SIZE_MAX / 4);
}

void sld_xds_message_fini(struct sld_xds_message *m)
{
    sld_buf_fini(&m->head);
    sld_xfree(m->pieces);
    m->pieces = NULL;
}

void sld_xds_message_resource(struct sld_xds_message *m, enum sld_xds_kind kind,
                              struct sld_xds_resource *r)
{
    struct sld_str url = sld_xds_type_url(r->type);
    struct sld_buf *b = &m->head;
    size_t size = sld_xds_resource_size(r), any = sld_wire_len_size(url.n) + sld_wire_len_size(size);
    if (kind == SLD_XDS_DELTA_ADS) {
        char version[17];
        sld_hash_text(r->obj.hash, version);
        // resources = 2: { version = 1, name = 3, resource = 2 }
        sld_wire_put_head(b, 2, sld_wire_len_size(16) + sld_wire_len_size(r->name.n) +
                                    sld_wire_len_size(any));
        sld_wire_put_str(b, 1, sld_str_c(version));
        sld_wire_put_str(b, 3, r->name);
    }
    sld_wire_put_head(b, 2, any);
    sld_wire_put_str(b, 1, url);
    sld_wire_put_head(b, 2, size);
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 8;
        m->pieces = sld_xrealloc(m->pieces, m->cap * sizeof(*m->pieces));
    }
    m->pieces[m->count++] = (struct sld_xds_piece){b->n, r};
    m->bytes += size;
}

void sld_xds_message_removed(struct sld_xds_message *m, struct sld_str name)
{
    sld_wire_put_str(&m->head, 6, name);
}

void sld_xds_message_frame(struct sld_xds_message *m, enum sld_xds_kind kind, struct sld_str url,
                           struct sld_hash version, uint64_t nonce)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)nonce);
    if (kind == SLD_XDS_SOTW_ADS) {
        char v[17];
        sld_hash_text(version, v);
        sld_wire_put_str(&m->head, 1, sld_str_c(v));
    }
    sld_wire_put_str(&m->head, 4, url);
    sld_wire_put_str(&m->head, 5, sld_str_c(text));
}

// Others who are sent the BYTES that OWNER has in this moment need not have them made again.
static void hold(struct sld_xds *x, struct sld_obj *owner, size_t bytes)
{
    if (!x->opened.keep || x->opened.count == SLD_ARRAY_LEN(x->opened.items) || x->opened.bytes >= SLD_XDS_HELD_BYTES)
        return;
    x->opened.items[x->opened.count++] = sld_obj_ref(owner);
    x->opened.bytes += bytes;
}

size_t sld_xds_message_send(struct sld_xds_message *m, struct sld_xds_stream *s)
{
    size_t n = 0, from = 0, max = m->count * 2 + 1;
    struct sld_str *slices = sld_xcalloc(max, sizeof(*slices));
    struct sld_obj **owners = sld_xcalloc(max, sizeof(struct sld_obj *)); // a reference each
    for (size_t i = 0; i < m->count; i++) {
        slices[n++] = (struct sld_str){m->head.p + from, m->pieces[i].at - from};
        from = m->pieces[i].at;
        struct sld_xds_resource *r = m->pieces[i].resource;
        if (sld_xds_resource_size(r) == 0)
            continue;
        owners[n] = sld_xds_resource_open(r, &slices[n]);
        if (r->recipe)
            hold(s->x, owners[n], slices[n].n);
        n++;
    }
    if (m->head.n > from)
        slices[n++] = (struct sld_str){m->head.p + from, m->head.n - from};
    s->sender.send(s->user, slices, owners, n);
    for (size_t i = 0; i < n; i++)
        SLD_UNREF(owners[i]);
    sld_xfree(slices);
    sld_xfree(owners);
    return m->head.n + m->bytes;
}
