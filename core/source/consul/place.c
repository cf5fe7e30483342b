// Addresses of configuration in Consul.
#include "source/consul/consul.h"

#define UNIX SLD_STR("consul+unix://")
#define TLS SLD_STR("consuls://")
#define PLAIN SLD_STR("consul://")
#define ROOT_QUERY SLD_STR("?root=")

static bool strip(struct sld_str *s, struct sld_str prefix)
{
    if (!sld_str_starts(*s, prefix))
        return false;
    *s = sld_str_sub(*s, prefix.n, s->n);
    return true;
}

bool sld_consul_place_is(struct sld_str address)
{
    return sld_str_starts(address, PLAIN) || sld_str_starts(address, TLS) ||
           sld_str_starts(address, UNIX);
}

static enum sld_rc take_root(struct sld_str root, struct sld_consul_place *out, struct sld_err *err)
{
    while (root.n && root.p[0] == '/')
        root = sld_str_sub(root, 1, root.n);
    while (root.n && root.p[root.n - 1] == '/')
        root.n--;
    out->root = root.n ? root : SLD_STR("gloo");
    for (size_t i = 0; i < root.n; i++) {
        unsigned char c = (unsigned char)root.p[i];
        if (c < ' ' || c == 0x7f || c == '?' || c == '#')
            return sld_err_set(err, SLD_INVALID, "\"%.*s\" cannot be the first part of keys",
                               SLD_FMT(sld_str_utf8_cut(root, 100)));
    }
    return SLD_OK;
}

enum sld_rc sld_consul_place_parse(struct sld_arena *a, struct sld_str address,
                                   struct sld_consul_place *out, struct sld_err *err)
{
    struct sld_str rest = address, head = SLD_STR_NONE;
    *out = (struct sld_consul_place){0};
    if (strip(&rest, UNIX)) {
        ptrdiff_t at = sld_str_find(rest, ROOT_QUERY);
        head = at < 0 ? rest : sld_str_sub(rest, 0, (size_t)at);
        if (!head.n || head.p[0] != '/')
            return sld_err_set(err, SLD_INVALID,
                               "\"%.*s\" names no socket; write consul+unix:///path/to/socket, with "
                               "?root=gloo behind it",
                               SLD_FMT(sld_str_utf8_cut(address, 100)));
        out->agent = sld_arena_fmt(a, "unix://%.*s", SLD_FMT(head));
        return take_root(at < 0 ? SLD_STR("") : sld_str_sub(rest, (size_t)at + ROOT_QUERY.n, rest.n),
                         out, err);
    }
    bool tls = strip(&rest, TLS);
    if (!tls && !strip(&rest, PLAIN))
        return sld_err_set(err, SLD_INVALID,
                           "\"%.*s\" is no address in Consul; write consul://host:port/root",
                           SLD_FMT(sld_str_utf8_cut(address, 100)));
    (void)sld_str_cut(&rest, '/', &head);
    if (tls && !head.n)
        return sld_err_set(err, SLD_INVALID,
                           "\"%.*s\" names no host; write consuls://host:port/root, or consul:///root "
                           "for the agent of the settings",
                           SLD_FMT(sld_str_utf8_cut(address, 100)));
    if (head.n)
        out->agent = tls ? sld_arena_fmt(a, "https://%.*s", SLD_FMT(head)) : head;
    return take_root(rest.p ? rest : SLD_STR(""), out, err);
}

bool sld_consul_place_has(struct sld_str key)
{
    struct sld_ident id;
    enum sld_code code = SLD_DOC_IDENTITY;
    if (sld_str_starts(key, SLD_STR("solder/")) || sld_str_ends(key, SLD_STR("/")))
        return false;
    return sld_store_key_parse(key, &id, &code, NULL) != SLD_NOT_FOUND || code != SLD_DOC_FOREIGN;
}
