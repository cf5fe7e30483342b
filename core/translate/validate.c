// What is checked of a document alone, before it counts. Its errors keep it from being accepted.
#include "translate/validate.h"

static void check_consul(const Gloo__ConsulUpstreamDiscoveryConfiguration *c, struct sld_report *r)
{
    if (c && c->usetlstagging && (!c->rootca || !c->rootca->name[0]))
        sld_report_add(r, SLD_ERROR, SLD_FIELD_REQUIRED, SLD_STR("consulDiscovery.rootCa"),
                       "useTlsTagging needs the root certificates of these services, so until then "
                       "they get no requests; set rootCa to a TLS secret with rootCa");
}

// What is needed before any document is read cannot come from one.
static void check_settings(const Gloo__Settings *s, struct sld_report *r)
{
    const Gloo__SolderSettings *own = s->solder;
    check_consul(s->consuldiscovery, r);
    if (!own)
        return;
    const struct {
        const char *value, *path;
    } early[] = {{own->admin_address, "solder.adminAddress"},
                 {own->state_dir, "solder.stateDir"},
                 {own->xds_address, "solder.xdsAddress"}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(early); i++) {
        if (early[i].value[0])
            sld_report_add(r, SLD_WARNING, SLD_OPTION_UNUSED, sld_str_c(early[i].path),
                           "it is needed before this document is read, so it has no effect here; "
                           "give it as a flag, a variable or in "
                           "the --settings file");
    }
}

static const struct sld_field_info *option_find(struct sld_str name)
{
    struct sld_str message = SLD_STR_NONE;
    sld_str_cut(&name, '.', &message);
    struct sld_arena a = {0};
    const struct sld_msg_info *m = sld_msg_find(sld_arena_fmt(&a, "gloo.%.*s", SLD_FMT(message)));
    sld_arena_fini(&a);
    int i = m ? sld_msg_field_index(m, name) : -1;
    return i < 0 ? NULL : &m->fields[i];
}

void tr_serve_options(struct sld_translate *t)
{
    for (size_t i = 0; i < t->opt.feature_count; i++) {
        const char *const *o = t->opt.features[i]->options;
        for (size_t k = 0; k < SLD_FEATURE_OPTIONS_MAX && o[k]; k++) {
            const struct sld_field_info *f = option_find(sld_str_c(o[k]));
            SLD_INV(f && f->state == SLD_STATE_OPTION);
            SLD_INV(!sld_umap_has(&t->served, (uintptr_t)f));
            sld_umap_set(&t->served, (uintptr_t)f, NULL);
        }
    }
}

void tr_validate(const struct sld_translate *t, enum sld_kind k, const void *msg,
                 struct sld_report *r)
{
    switch (k) {
    case SLD_KIND_GATEWAY:
        tr_validate_gateway(t, msg, r);
        break;
    case SLD_KIND_PLUGIN:
        for (size_t i = 0; i < t->opt.feature_count; i++) {
            if (t->opt.features[i]->check)
                t->opt.features[i]->check(&(struct sld_feature_check){.t = t, .report = r, .plugin = msg});
        }
        break;
    case SLD_KIND_ROUTE_OPTION:
        tr_validate_route_option(t, msg, r);
        break;
    case SLD_KIND_ROUTE_TABLE:
        tr_validate_route_table(t, msg, r);
        break;
    case SLD_KIND_SECRET:
        tr_validate_secret(t, msg, r);
        break;
    case SLD_KIND_SETTINGS:
        check_settings(msg, r);
        break;
    case SLD_KIND_UPSTREAM:
        tr_validate_upstream(t, msg, r);
        break;
    case SLD_KIND_UPSTREAM_GROUP:
        tr_validate_upstream_group(t, msg, r);
        break;
    case SLD_KIND_VIRTUAL_HOST_OPTION:
        tr_validate_virtual_host_option(t, msg, r);
        break;
    case SLD_KIND_VIRTUAL_SERVICE:
        tr_validate_virtual_service(t, msg, r);
        break;
    default:
        break;
    }
}
