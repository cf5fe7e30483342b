// Settings.
#include "app/settings.h"

#include "source/file.h"

enum { SETTINGS_MAX_BYTES = 1024 * 1024 };

enum sld_rc sld_settings_read(const char *file, struct sld_object **out, struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_str text;
    enum sld_rc rc = sld_file_read(&a, "settings file", file, SETTINGS_MAX_BYTES, &text, err);
    if (rc) {
        sld_arena_fini(&a);
        return rc;
    }
    struct sld_ident id = {SLD_KIND_SETTINGS, SLD_STR("gloo-system"), SLD_STR("default")};
    struct sld_doc_place place = {.path = sld_str_c(file), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, text, 1, -1, sld_str_c(file), &place);
    struct sld_object *o = sld_object_decode(raw, NULL);
    SLD_UNREF(raw);
    for (size_t i = 0; i < o->finding_count && !o->ok; i++) {
        if (o->findings[i].severity != SLD_ERROR)
            continue;
        struct sld_finding f = o->findings[i];
        sld_raw_locate(o->raw, &f);
        rc = sld_err_set(err, SLD_INVALID, "%s:%d:%d: %.*s%s%.*s", file, f.line, f.column,
                         SLD_FMT(f.path), f.path.n ? ": " : "", SLD_FMT(f.message));
        break;
    }
    sld_arena_fini(&a);
    if (rc)
        SLD_UNREF(o);
    else
        *out = o;
    return rc;
}

Gloo__Settings *sld_settings_merge(struct sld_arena *a, const Gloo__Settings *file,
                                   const Gloo__Settings *resource)
{
    if (!file)
        return resource ? sld_msg_copy(a, &resource->base)
                        : SLD_MSG(a, Gloo__Settings, gloo__settings);
    Gloo__Settings *s = sld_msg_copy(a, &file->base);
    if (!resource)
        return s;
    Gloo__Settings *r = sld_msg_copy(a, &resource->base);
    // The block of our own keys is merged key by key: one flag in the file must not hide the
    // others.
    if (s->solder && r->solder)
        sld_msg_fill(&s->solder->base, &r->solder->base);
    sld_msg_fill(&s->base, &r->base);
    return s;
}

struct sld_str sld_settings_own_ns(const Gloo__Settings *s)
{
    return s->discovery_namespace[0] ? sld_str_c(s->discovery_namespace) : SLD_STR("gloo-system");
}

void sld_settings_watch(struct sld_intake *in, const Gloo__Settings *s)
{
    struct sld_arena a = {0};
    struct sld_str *list = SLD_ARENA_ARRAY(&a, struct sld_str, s->n_watch_namespaces + 1);
    size_t n = 0;
    bool has_own = false;
    for (size_t i = 0; i < s->n_watch_namespaces; i++) {
        struct sld_str ns = sld_str_c(s->watch_namespaces[i]);
        if (!ns.n) // [""] means all, as none does
            continue;
        has_own |= sld_str_eq(ns, sld_settings_own_ns(s));
        list[n++] = ns;
    }
    if (n && !has_own)
        list[n++] = sld_settings_own_ns(s);
    sld_intake_watch(in, list, n);
    sld_arena_fini(&a);
}

enum sld_rc sld_settings_key(struct sld_arena *a, const char *name, struct sld_str *out,
                             struct sld_err *err)
{
    struct sld_str rest = sld_str_c(name ? name : "gloo-system/default"), ns;
    if (!sld_str_cut(&rest, '/', &ns) || !ns.n || !rest.p || !rest.n ||
        sld_str_index(rest, '/') >= 0)
        return sld_err_set(err, SLD_INVALID,
                           "the name of the Settings must be NAMESPACE/NAME, not %s", name);
    *out = sld_ident_key(a, (struct sld_ident){SLD_KIND_SETTINGS, ns, rest});
    return SLD_OK;
}
