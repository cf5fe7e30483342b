// Certificates in files of the Envoy's machine: resources of SDS that name them, because Envoy
// reads a file again only when SDS delivered its name.
#include "translate/tls.h"

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

static struct sld_str dir_of(struct sld_str path)
{
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/')
        n--;
    if (n == 0)
        return SLD_STR(".");
    return sld_str_sub(path, 0, n > 1 ? n - 1 : 1);
}

static Env__Core__DataSource *file_source(struct sld_arena *a, char *path)
{
    Env__Core__DataSource *d = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
    d->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_FILENAME;
    d->filename = path;
    return d;
}

// Files are read again when one in their directory is moved into place or written. Files in two
// directories are watched one by one, which notices moves only.
static Env__Core__WatchedDirectory *watch(struct sld_arena *a, struct sld_str x, struct sld_str y)
{
    struct sld_str dir = dir_of(x);
    if (!sld_str_eq(dir, dir_of(y)))
        return NULL;
    Env__Core__WatchedDirectory *w =
        SLD_MSG(a, Env__Core__WatchedDirectory, env__core__watched_directory);
    w->path = sld_arena_cstr(a, dir);
    w->watch_modify = true;
    return w;
}

// "files/<side>/<hash of the paths>/<what>": the same files have one resource on each side.
static struct sld_str file_name(struct tr *tr, const char *side, const Gloo__SSLFiles *f, bool ca)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    const char *paths[] = {f->tls_cert, f->tls_key, f->ocsp_staple};
    const char *root[] = {f->root_ca};
    for (size_t i = 0; i < (ca ? 1 : SLD_ARRAY_LEN(paths)); i++) {
        struct sld_str p = sld_str_c(ca ? root[i] : paths[i]);
        sld_hasher_add_u64(&h, p.n);
        sld_hasher_add(&h, p);
    }
    char text[17];
    sld_hash_text(sld_hasher_done(&h), text);
    return sld_arena_fmt(tr->arena, "files/%s/%s/%s", side, text,
                         ca ? "validation" : "certificate");
}

// Emits the resource beside the row that needs it, in the same table.
static void emit(struct tr *tr, const Gloo__SSLFiles *f, struct sld_str name, bool ca)
{
    struct sld_arena *a = tr->arena;
    Env__TransportSocketsTls__Secret *m =
        SLD_MSG(a, Env__TransportSocketsTls__Secret, env__transport_sockets_tls__secret);
    m->name = sld_arena_cstr(a, name);
    if (ca) {
        m->type_case = ENV__TRANSPORT_SOCKETS_TLS__SECRET__TYPE_VALIDATION_CONTEXT;
        m->validation_context = SLD_MSG(a, Env__TransportSocketsTls__CertificateValidationContext,
                                        env__transport_sockets_tls__certificate_validation_context);
        m->validation_context->trusted_ca = file_source(a, f->root_ca);
        m->validation_context->watched_directory =
            watch(a, sld_str_c(f->root_ca), sld_str_c(f->root_ca));
    } else {
        m->type_case = ENV__TRANSPORT_SOCKETS_TLS__SECRET__TYPE_TLS_CERTIFICATE;
        m->tls_certificate = SLD_MSG(a, Env__TransportSocketsTls__TlsCertificate,
                                     env__transport_sockets_tls__tls_certificate);
        m->tls_certificate->certificate_chain = file_source(a, f->tls_cert);
        m->tls_certificate->private_key = file_source(a, f->tls_key);
        m->tls_certificate->watched_directory =
            watch(a, sld_str_c(f->tls_cert), sld_str_c(f->tls_key));
        if (f->ocsp_staple[0])
            m->tls_certificate->ocsp_staple = file_source(a, f->ocsp_staple);
    }
    // Only the owners of the row in the making go along, not its findings.
    struct tr quiet = {.t = tr->t, .ctx = tr->ctx, .arena = a};
    for (size_t i = 0; i < tr->use_count; i++)
        tr_use(&quiet, tr->uses[i]);
    struct sld_out proto = {.type = SLD_OUT_SECRET, .name = name};
    sld_id id = sld_flow_key(tr->t->flow, tr_out_key(a, SLD_OUT_SECRET, SLD_STR(""), name));
    tr_emit_out(&quiet, id, &m->base, &proto, tr_report(&quiet, SLD_STR("")));
}

struct sld_str tr_tls_files(struct tr *tr, const char *side, const Gloo__SSLFiles *f, bool ca)
{
    struct sld_str name = file_name(tr, side, f, ca);
    emit(tr, f, name, ca);
    return name;
}
