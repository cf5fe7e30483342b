// What is checked of a document alone, before it counts. Its errors keep it from being accepted.
#include "translate/validate.h"

// What is needed before any document is read cannot come from one.
static void check_settings(const Gloo__Settings *s, struct sld_report *r)
{
    const Gloo__SolderSettings *own = s->solder;
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

void tr_validate(const struct sld_translate *t, enum sld_kind k, const void *msg,
                 struct sld_report *r)
{
    switch (k) {
    case SLD_KIND_GATEWAY:
        tr_validate_gateway(t, msg, r);
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
